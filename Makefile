# Needs Python 3.11 or newer and a package index; everything else is installed in .venv.

PYTHON ?= python3
BIN = .venv/bin
PRODUCT = .venv/requirements.stamp
TOOLS = .venv/requirements-dev.stamp
PEERS = .venv-bench/requirements.stamp
READERS = .venv-bench-documents/requirements.stamp
OCR = .venv-bench-ocr/requirements.stamp
# For checks, which read no setting of this machine.
PRODUCTION = env -i PATH="$$PATH" HOME="$$HOME" ENV_FILE= DATA_DIR=.test-data \
	SECRET_KEY=0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ \
	APP_URL=https://jobs.example.com

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

define MAKE_VENV
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "error: Python 3.11 or newer is needed; name yours so: make PYTHON=python3.12" >&2; exit 1; }
test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
endef

.PHONY: run dev test chaos lint bench bench-documents
.DEFAULT_GOAL = run

# The last line replaces the shell, so that SIGTERM to make reaches the application.
run: $(PRODUCT)
	@exec $(BIN)/python manage.py run

dev: $(TOOLS)
	@DEBUG=$${DEBUG:-true} exec $(BIN)/python manage.py run --reload

test: $(TOOLS)
	$(BIN)/pytest $(ARGS)

# Three minutes; ARGS="--seconds 60 --seed 1" for others.
chaos: $(TOOLS)
	@exec $(BIN)/python -m tests.chaos $(ARGS)

lint: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(PRODUCTION) $(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

$(PRODUCT): requirements.txt
	@$(MAKE_VENV)
	$(PIP) -r requirements.txt
	@touch $@

$(TOOLS): requirements.txt requirements-dev.txt
	@$(MAKE_VENV)
	$(PIP) -r requirements-dev.txt
	@touch $@ $(PRODUCT)

# ONLY="steps pickup" names some of the figures; see bench/README.md.
bench: $(PRODUCT) $(PEERS)
	@exec $(BIN)/python -m bench --only "$(ONLY)" --repeats $(or $(REPEATS),3) --held $(or $(HELD),60)

# CORPUS has the files with their manifest, COLLECTION a test collection for search; see bench/README.md.
bench-documents: $(PRODUCT) $(READERS) $(OCR)
	@exec $(BIN)/python -m bench.documents --corpus "$(or $(CORPUS),../shared/corpus)" --only "$(ONLY)" \
		--collection "$(or $(COLLECTION),../shared/ir/cranfield)" --files $(or $(FILES),500) \
		--chunks $(or $(CHUNKS),100000) $(if $(KEEP),--keep) --repeats $(or $(REPEATS),1)

# A peer that cannot be installed is left out, and RESULTS.md says so.
$(PEERS): bench/requirements-peers.txt
	test -x .venv-bench/bin/pip || $(PYTHON) -m venv --clear .venv-bench
	-.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# The inference package of unstructured demands what its fast strategy does not use.
$(READERS): bench/requirements-documents.txt
	test -x .venv-bench-documents/bin/pip || $(PYTHON) -m venv --clear .venv-bench-documents
	-.venv-bench-documents/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	-.venv-bench-documents/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		unstructured-inference==1.6.14 unstructured.pytesseract==0.3.15
	@touch $@

$(OCR): requirements.txt requirements-ocr.txt
	test -x .venv-bench-ocr/bin/pip || $(PYTHON) -m venv --clear .venv-bench-ocr
	.venv-bench-ocr/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-ocr.txt
	@touch $@
