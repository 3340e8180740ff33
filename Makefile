# Needs Python 3.11 or newer and a package index. Everything else is installed in .venv.

PYTHON ?= python3
BIN = .venv/bin
PRODUCT = .venv/requirements.stamp
TOOLS = .venv/requirements-dev.stamp
NEXT = .venv-next/requirements.stamp
UV = .venv-uv/bin/uv
PEERS = .venv-bench/requirements.stamp
READERS = .venv-bench-documents/requirements.stamp
OCR = .venv-bench-ocr/requirements.stamp
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV) pip compile --quiet --universal --generate-hashes
# The first Python 3.13 that runs. The python3.13 of pyenv is on the PATH, but runs only if that version is selected.
NEXT_PYTHON ?= $(firstword $(foreach python,python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13), \
	$(shell $(python) -c 'import sys; print(sys.executable)' 2>/dev/null)))
NEXT_TESTS ?= tests/workflows tests/jobs tests/documents/api tests/documents/pages \
	tests/aiworkstation/web tests/aiworkstation/access tests/aiworkstation/audit tests/webhooks tests/mail tests/alerts \
	tests/mcp_server
# For checks, which must not read the settings of this machine.
PRODUCTION = env -i PATH="$$PATH" HOME="$$HOME" ENV_FILE= DATA_DIR=.test-data \
	SECRET_KEY=0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ \
	APP_URL=https://jobs.example.com

PIP_INSTALL = -m pip install --disable-pip-version-check

define MAKE_VENV
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "error: Python 3.11 or newer is needed. Name it: make PYTHON=python3.12" >&2; exit 1; }
test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
endef

# $(call INSTALL,WHAT,VENV,OPTIONS) shows a dot for each package. pip's own lines would fill several screens.
define INSTALL
@echo "Installing $(1) in $(2). This takes one to two minutes the first time."
@{ PYTHONUNBUFFERED=1 $(2)/bin/python $(PIP_INSTALL) --require-hashes $(3) || echo "pip failed"; } | awk ' \
	/^Collecting/ { printf "."; fflush() } \
	/^Installing collected/ { printf " downloaded, unpacking"; fflush() } \
	/^pip failed/ { failed = 1 } \
	END { print ""; exit failed }'
endef

.PHONY: run dev js test test-next next-python chaos lint lint-quick openapi requirements bench bench-panel bench-documents
.DEFAULT_GOAL = run

# The last line replaces the shell, so that SIGTERM to make reaches the application.
run: $(PRODUCT)
	@exec $(BIN)/python manage.py run

dev: $(TOOLS)
	@DEBUG=$${DEBUG:-true} exec $(BIN)/python manage.py run --reload

# In parallel; ARGS="tests/jobs -x" for some of them, "-n 0" for one after another, "-m 'not slow'" for the quick ones.
test: $(TOOLS)
	$(BIN)/pytest -n auto $(ARGS)

# Tests the engine, the API and the pages on the next Python and Django. NEXT_TESTS=tests runs all tests.
test-next: $(NEXT)
	.venv-next/bin/pytest -n auto $(NEXT_TESTS) $(ARGS)

# Prints where that Python is, or nothing.
next-python:
	@echo $(NEXT_PYTHON)

# Takes three minutes. ARGS="--seconds 60 --seed 1" changes the duration and the seed.
chaos: $(TOOLS)
	@exec $(BIN)/python -m tests.chaos $(ARGS)

# Takes seconds: .pre-commit-config.yaml runs it before each commit.
lint-quick: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

lint: lint-quick
	$(BIN)/mypy .
	$(PRODUCTION) $(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

$(PRODUCT): requirements.txt
	@$(MAKE_VENV)
	$(call INSTALL,the application,.venv,-r requirements.txt)
	@touch $@

$(TOOLS): requirements.txt requirements-dev.txt
	@$(MAKE_VENV)
	$(call INSTALL,the application and the tools of its tests,.venv,-r requirements.txt -r requirements-dev.txt)
	@touch $@ $(PRODUCT)

$(NEXT): requirements-next.txt
	@test -n "$(NEXT_PYTHON)" || \
		{ echo "error: Python 3.13 was not found. Name it: make test-next NEXT_PYTHON=/usr/bin/python3.13" >&2; exit 1; }
	@test -x .venv-next/bin/pip || $(NEXT_PYTHON) -m venv --clear .venv-next
	$(call INSTALL,Django 6.1 and the tools of its tests,.venv-next,-r requirements-next.txt)
	@touch $@

# Writes docs/openapi.json and the JavaScript client's types. Tests compare them with what the server returns.
openapi: $(TOOLS)
	$(PRODUCTION) $(BIN)/python manage.py openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory js && npm --silent --prefix clients/js run types; \
	else echo "NOT WRITTEN: clients/js/openapi.d.ts, because this machine has no npm."; fi

# Installs what the tests of clients/js need. The client itself needs nothing.
js: clients/js/node_modules/.package-lock.json

clients/js/node_modules/.package-lock.json: clients/js/package-lock.json
	npm --prefix clients/js ci --no-audit --no-fund
	@touch $@

# Compiles requirements*.in. Versions change only if a list requires it, or with UPGRADE=1.
requirements: $(UV)
	$(COMPILE) --python-version 3.11 $(if $(UPGRADE),--upgrade) requirements.in -o requirements.txt
	$(COMPILE) --python-version 3.11 $(if $(UPGRADE),--upgrade) -c requirements.txt requirements-dev.in -o requirements-dev.txt
	$(COMPILE) --python-version 3.11 $(if $(UPGRADE),--upgrade) -c requirements.txt -c requirements-dev.txt \
		requirements-ocr.in -o requirements-ocr.txt
	@cat requirements.txt requirements-dev.txt > requirements-next.txt  # versions to keep, but for Django
	$(COMPILE) --python-version 3.12 --overrides requirements-next.in requirements.in requirements-dev.in \
		-o requirements-next.txt

$(UV):
	$(PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/python $(PIP_INSTALL) --quiet uv==0.13.9

# ONLY="steps pickup" selects figures. See bench/README.md.
bench: $(PRODUCT) $(PEERS)
	@exec $(BIN)/python -m bench --only "$(ONLY)" --repeats $(or $(REPEATS),3) --held $(or $(HELD),60)

# JOBS="1000 1000000" and REPEATS=30 are the defaults; a million jobs need about 15 GB and half an hour to fill.
bench-panel: $(PRODUCT)
	@exec $(BIN)/python -m bench.panel --jobs $(or $(JOBS),1000 1000000) --repeats $(or $(REPEATS),30)

# CORPUS has the files with their manifest, COLLECTIONS test collections for search. See bench/README.md.
bench-documents: $(PRODUCT) $(READERS) $(OCR)
	@exec $(BIN)/python -m bench.documents --corpus "$(or $(CORPUS),../shared/corpus)" --only "$(ONLY)" \
		--collections $(or $(COLLECTIONS),$(wildcard ../shared/ir/*/)) --files $(or $(FILES),500) \
		--chunks $(or $(CHUNKS),100000) $(if $(KEEP),--keep) --repeats $(or $(REPEATS),1)

# A peer that cannot be installed is left out. RESULTS.md lists it.
$(PEERS): bench/requirements-peers.txt
	test -x .venv-bench/bin/pip || $(PYTHON) -m venv --clear .venv-bench
	-.venv-bench/bin/python $(PIP_INSTALL) --quiet -r $<
	@touch $@

# The inference package of unstructured requires packages that its fast strategy does not use.
$(READERS): bench/requirements-documents.txt
	test -x .venv-bench-documents/bin/pip || $(PYTHON) -m venv --clear .venv-bench-documents
	-.venv-bench-documents/bin/python $(PIP_INSTALL) --quiet -r $<
	-.venv-bench-documents/bin/python $(PIP_INSTALL) --quiet --no-deps \
		unstructured-inference==1.6.14 unstructured.pytesseract==0.3.15
	@touch $@

$(OCR): requirements.txt requirements-ocr.txt
	test -x .venv-bench-ocr/bin/pip || $(PYTHON) -m venv --clear .venv-bench-ocr
	.venv-bench-ocr/bin/python $(PIP_INSTALL) --quiet -r requirements.txt -r requirements-ocr.txt
	@touch $@
