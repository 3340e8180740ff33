"""The examples of README.md and docs/extending.md, run as one package by real processes.

The first line of an example names its file: `# acme/tools.py`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import Schedule, Task
from django_q.tasks import async_task
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from documents.models import DocumentPage
from tests.servers.local import Handler, LocalServer
from tests.support.processes import environment, manage, wait_for
from workflows.models import Mode, SecretGrant, WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = [BASE_DIR / "README.md", BASE_DIR / "docs" / "extending.md"]
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
]
FILE = re.compile(r"# (acme/\w+\.py)\n")
SUBTITLES = "1\n00:00:01,000 --> 00:00:02,000\nDer Kessel über dem Feuer.\n\n2\n00:00:03,000 --> 00:00:04,000\nNoch.\n"


class AccountingSystem(LocalServer):
    """Is busy first, then broken, then creates the invoice."""

    def __init__(self) -> None:
        super().__init__(AccountingHandler)


class AccountingHandler(Handler):
    def do_POST(self) -> None:
        request = self.read_request()
        match len(self.server.requests):
            case 1:
                self.answer(503, {}, {"retry-after": "0"})
            case 2:
                self.answer(500, {})
            case _:
                self.answer(201, {"invoice": 7, "sent": request["headers"]["authorization"]})


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A folder with the package."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").touch()
    for example in EXAMPLES:
        if found := FILE.match(example):
            with (tmp_path / found[1]).open("a") as file:
                file.write(example)
    return tmp_path


@pytest.fixture
def server() -> Iterator[AccountingSystem]:
    with AccountingSystem() as server:
        yield server


@pytest.fixture
def settings_of_acme(acme: Path, server: AccountingSystem) -> dict[str, str]:
    return {
        "EXTRA_APPS": "acme",
        "PYTHONPATH": str(acme),
        "ACME_URL": server.url,
        "SECRET_ACME": "the-secret-of-acme",
        "HTTP_ALLOWED_PRIVATE_HOSTS": server.place,
        "SCHEDULED_FUNCTIONS": "acme.reports.weekly",
        "WORKERS": "1",
    }


def run(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    return subprocess.run(
        command, cwd=BASE_DIR, env=environment(**settings), capture_output=True, text=True, timeout=90, check=False
    )


def run_job(settings: dict[str, str], folder: Path, body: Any) -> WorkflowExecution:
    file = folder / "job.json"
    file.write_text(json.dumps(body))
    done = run(settings, "run_workflow", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return WorkflowExecution.objects.latest("created_at")


def test_every_example_names_its_file_or_is_run_here() -> None:
    rest = [example for example in EXAMPLES if not FILE.match(example)]
    assert [example for example in rest if "Schedule.objects.create" not in example] == []


def test_they_work(acme: Path, server: AccountingSystem, settings_of_acme: dict[str, str]) -> None:
    User.objects.create_user("demo")
    SecretGrant.objects.create(secret="ACME", hosts=[server.place], places=["header:authorization"])
    (acme / "film.srt").write_bytes(SUBTITLES.encode("latin-1"))
    with manage("work", log=acme / "log", **settings_of_acme):
        count = {"jobType": "acme-count", "payload": {"text": "tea and Tea", "word": "tea"}}
        assert run_job(settings_of_acme, acme, count).steps.get().output == {"count": 2}

        invoice = {"name": "Invoice", "tool": "ACME_CREATE_INVOICE", "arguments": {"customer": "Ada", "cents": 990}}
        prime = {"name": "Prime", "tool": "ACME_LARGEST_PRIME", "arguments": {"limit": 20_000}, "dependsOn": []}
        job = run_job(settings_of_acme, acme, {"workflowName": "Tools", "steps": [invoice, prime]})
        invoice_step, prime_step = job.steps.order_by("index")
        assert invoice_step.output == {"invoice": 7, "sent": "Bearer [secret]"}
        assert invoice_step.attempt == 2, "the 503 was a wait and no attempt"
        assert {request["headers"]["authorization"] for request in server.requests} == {"Bearer the-secret-of-acme"}
        assert {request["headers"]["idempotency-key"] for request in server.requests} == {str(invoice_step.pk)}
        assert prime_step.output == {"prime": 19_997}

        read = run(settings_of_acme, "ingest", str(acme / "film.srt"))
        assert read.returncode == 0, read.stdout + read.stderr
        assert DocumentPage.objects.get().text.split()[:4] == ["Der", "Kessel", "über", "dem"]

        task = async_task("acme.reports.weekly")
        wait_for(lambda: Task.objects.filter(id=task, success=True).exists(), what="the plain task")
        (schedule,) = [example for example in EXAMPLES if "Schedule.objects.create" in example]
        exec(compile(schedule, "schedule", "exec"))
        assert Schedule.objects.get(name="Weekly report").next_run > timezone.now()
        Schedule.objects.update(next_run=timezone.now())
        reports = WorkflowExecution.objects.filter(name="Weekly report")
        wait_for(lambda: reports.count() == 2, what="the scheduled job")


def test_a_missing_setting_is_named_before_anything_is_asked(acme: Path, settings_of_acme: dict[str, str]) -> None:
    User.objects.create_user("demo")
    settings = {name: value for name, value in settings_of_acme.items() if name != "ACME_URL"}
    step = {"name": "Invoice", "tool": "ACME_CREATE_INVOICE", "arguments": {"customer": "Ada", "cents": 990}}
    (acme / "job.json").write_text(json.dumps({"workflowName": "Tools", "steps": [step]}))
    with manage("work", log=acme / "log", **settings):
        done = run(settings, "run_workflow", str(acme / "job.json"))
    assert done.returncode == 1
    assert "Set ACME_URL to the address of the accounting system." in done.stderr


def test_the_calls_of_the_readme(live_server: LiveServer, settings: Settings, tmp_path: Path) -> None:
    """Every call succeeds. There is no worker, so the search finds nothing yet."""
    if missing := [name for name in ("bash", "curl") if shutil.which(name) is None]:
        pytest.skip(f"the README needs {', '.join(missing)}")
    settings.MEDIA_ROOT = tmp_path
    user = User.objects.create_user("demo")
    Mode.objects.get_or_create(name="Sales")
    (calls,) = re.findall(r"^```sh\n(TOKEN=.*?)^```$", PAGES[0].read_text(), re.DOTALL | re.MULTILINE)
    replaced = {
        "$(.venv/bin/python manage.py apitoken demo)": ApiToken.issue(user, "test")[1],
        "http://127.0.0.1:8000": live_server.url,
        "curl -sS": "curl -sS --fail-with-body",
        "sleep 5\n": "",
    }
    for old, new in replaced.items():
        assert old in calls
        calls = calls.replace(old, new)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", calls], cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert len(answers) == calls.count("\napi ")
    assert not [answer for answer in answers if "errors" in answer]
    assert set(WorkflowExecution.objects.values_list("name", flat=True)) == {"Ingest 2 documents", "Contract review"}
