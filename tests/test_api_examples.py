"""The tutorial and the other shell examples of docs/api.md, word for word, in one shell, against the real server.

Then the examples of the Python client. Its JSON is checked against the OpenAPI document.

Only the address and the port are replaced. `.venv/bin` has commands that run those of this environment.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from jsonschema import Draft202012Validator

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES, THREADS
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from tests.support.processes import environment, manage
from tests.support.web_server import serving
from workflows.models import Mode, WorkflowExecution

with_database = pytest.mark.django_db(transaction=True)

PAGE = (BASE_DIR / "docs" / "api.md").read_text()
FLAGS = re.DOTALL | re.MULTILINE
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE, FLAGS)
PYTHON = re.compile(r"^```python\n(.*?)^```$", FLAGS)
(ASK,) = PYTHON.findall(PAGE)
CLIENT_PAGES = [BASE_DIR / "docs" / "clients.md", BASE_DIR / "clients" / "python" / "README.md"]
CLIENT_EXAMPLES = [example for page in CLIENT_PAGES for example in PYTHON.findall(page.read_text())]
JSON = [json.loads(example) for example in re.findall(r"^```json\n(.*?)^```$", PAGE, FLAGS)]
OPENAPI: dict[str, Any] = json.loads((BASE_DIR / "docs" / "openapi.json").read_text())
ADDRESS = "http://127.0.0.1:8000"
SAMPLES = {"doc1": "quarterly-sales-report.pdf", "doc2": "service-contract.docx"}
"""The README uploads them."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The checkout, with an environment of its own into which the client is not installed yet."""
    folder = tmp_path / "checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for path in BASE_DIR.iterdir():
        if path.name not in (".venv", ".git"):
            (folder / path.name).symlink_to(path)
    packages = folder / ".venv" / "packages"
    python = shlex.quote(sys.executable)
    install = f"--no-index --no-build-isolation --no-deps --target {shlex.quote(str(packages))}"
    commands = {
        "python": f'exec {python} "$@"',
        "pip": f'command=$1; shift; exec {python} -m pip --disable-pip-version-check "$command" {install} "$@"',
        "aiw": f'exec {shlex.quote(str(packages / "bin" / "aiw"))} "$@"',
    }
    for name, command in commands.items():
        script = folder / ".venv" / "bin" / name
        script.write_text(f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(packages))}\n{command}\n")
        script.chmod(0o755)
    return folder


@pytest.fixture
def site(transactional_db: None, settings: Any) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    for name in ("General", "Sales", "Admin"):
        Mode.objects.get_or_create(name=name)
    with serving(FrontGate(application, ROUTES, THREADS)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def documents_of_the_readme(site: str) -> None:
    headers = {"Authorization": f"Bearer {ApiToken.issue(User.objects.create_user('demo'))[1]}"}
    for id, name in SAMPLES.items():
        with (BASE_DIR / "tests" / "samples" / name).open("rb") as file:
            answer = httpx2.post(f"{site}/api/documents", headers=headers, data={"id": id}, files={"file": file})
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("example", JSON, ids=lambda example: ",".join(list(example)[:3]))
def test_json_is_as_the_openapi_document_says(example: dict[str, Any]) -> None:
    """An example may show a part of an object."""
    if "tooLarge" in example:  # takes the place of an output, which can be any JSON
        return
    schemas = [
        schema for schema in OPENAPI["components"]["schemas"].values() if set(example) <= set(_properties(schema))
    ]
    assert schemas
    mistakes = [_first_mistake(schema, example) for schema in schemas]
    assert None in mistakes, mistakes


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    return dict(schema.get("properties", {}))


def _first_mistake(schema: dict[str, Any], example: dict[str, Any]) -> str | None:
    partial = {name: value for name, value in schema.items() if name != "required"}
    validator = Draft202012Validator({**partial, "components": OPENAPI["components"]})
    return next((f"{error.json_path}: {error.message}" for error in validator.iter_errors(example)), None)


def run(script: str, checkout: Path) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    settings = {name: value for name, value in environment().items() if not name.startswith(("AIW_", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=checkout, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def examples_of_the_clients(checkout: Path) -> list[str]:
    """Returns the commands that run them. They use a folder `contracts`, and a workflow that docs/api.md saves."""
    for number, example in enumerate(CLIENT_EXAMPLES):
        (checkout / f"example_{number}.py").write_text(example)
    runs = [f".venv/bin/python example_{number}.py" for number in range(len(CLIENT_EXAMPLES))]
    return ["mkdir contracts", "cp tests/samples/service-contract.docx contracts", *runs]


@with_database
@pytest.mark.slow
def test_every_example_runs(site: str, documents_of_the_readme: None, checkout: Path, tmp_path: Path) -> None:
    """It installs the client, and starts Python five times."""
    script = "\n".join([*SHELL, *examples_of_the_clients(checkout)])
    assert script.count(ADDRESS) == 1
    (checkout / "ask.py").write_text(ASK)
    with manage("work", log=tmp_path / "work.log", WORKERS="2"):
        printed = run(script.replace(ADDRESS, site), checkout)
    *_, first, second, third = re.split(r"^(?:Which batch|When does|How many) .*$", printed, flags=re.MULTILINE)
    assert "batch 2025-07" in first
    assert "ends on 31 March 2026" in second
    assert "two arrived with broken glass" in third
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith('{"')]
    assert not [row for row in rows if "errors" in row]
    assert "service-contract.docx 1 " in printed
    assert rows[0]["documents"][0]["id"] == "notes"
    assert {"Compare", "Ingest 2 documents"} <= set(WorkflowExecution.objects.values_list("name", flat=True))
