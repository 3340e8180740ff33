"""Reports to Sentry: a real server gets the envelopes of the web's and the workers' errors, and nothing private."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from tests.servers.sentry_server import SentryServer
from tests.support.jobs import start_job
from tests.support.processes import environment, manage, wait_for
from workflows.models import WorkflowExecution, WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "hunter2/secret+value"

# A view breaks, with secrets in its error, in the request and in its variables.
BREAK = """
import logging
import sys
from io import BytesIO
from wsgiref.util import setup_testing_defaults

from aiworkstation.wsgi import application
from jobs.api import views

def broken(user, id):
    password, token = sys.argv[1:3]
    raise RuntimeError(f"the view broke with {password} and {token}")

def call(path, **more):
    environ = {"PATH_INFO": path, "HTTP_HOST": "localhost", **more}
    setup_testing_defaults(environ)
    return list(application(environ, lambda status, headers: print(status)))

views.get_execution = broken
call(
    "/api/jobs/private-path",
    QUERY_STRING="q=private-query",
    REMOTE_ADDR="10.1.2.3",
    HTTP_AUTHORIZATION=f"Bearer {sys.argv[2]}",
    HTTP_COOKIE="private-cookie=1",
    HTTP_X_PRIVATE="private-header",
    HTTP_X_REQUEST_ID="request-1",
)
call("/jobs/new", HTTP_HOST="private-host.example", REQUEST_METHOD="POST", **{"wsgi.input": BytesIO(b"private-body")})
logging.getLogger("anything").error("an error of %s", "the log")
logging.getLogger("anything").warning("a warning")
"""


def run_python(code: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    variables = {**environment(**settings), "DJANGO_SETTINGS_MODULE": "aiworkstation.settings"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=BASE_DIR, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_an_error_of_a_request(alice: User) -> None:
    _, token = ApiToken.issue(alice)
    with SentryServer() as server:
        done = run_python(BREAK, PASSWORD, token, SENTRY_DSN=server.dsn, SECRET_PROBE=PASSWORD)
    assert done.stdout.splitlines() == ["500 Internal Server Error", "400 Bad Request"], done.stderr
    assert server.kinds == ["event", "event"]
    error, logged = server.events
    (exception,) = error["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["value"] == "the view broke with [secret] and [secret]"
    assert error["transaction"] == "/api/jobs/{job_id}"
    assert error["tags"] == {"request": "request-1"}
    assert error["request"] == {"method": "GET"}
    assert exception["stacktrace"]["frames"][-1]["function"] == "broken"
    assert "an error of the log" in json.dumps(logged["logentry"])
    sent = json.dumps(server.events)
    for private in (
        "private-",
        PASSWORD,
        token,
        "alice",
        "10.1.2.3",
        "Bearer",
        '"vars"',
        "Cookie",
        "breadcrumbs",
        "a warning",
    ):
        assert private not in sent


def test_an_error_of_a_step(alice: User, tmp_path: Path) -> None:
    step = {"name": "private-name", "tool": "PROBE_RAISE", "arguments": {}, "maxAttempts": 1}
    job = start_job(alice, payload={"workflowName": "private-workflow", "steps": [step]})
    log = tmp_path / "log"
    with (
        SentryServer() as server,
        manage("work", "--drain", log=log, SENTRY_DSN=server.dsn, SECRET_PROBE=PASSWORD, WORKERS="1"),
    ):
        wait_for(lambda: server.events, what=log.read_text())
    (event,) = server.events
    assert event["exception"]["values"][-1]["value"] == "the probe broke with [secret]"
    assert event["tags"] == {"job": str(job.pk), "step": str(WorkflowStep.objects.get().pk)}
    for private in ("private-", PASSWORD, "alice"):
        assert private not in json.dumps(event)


PROCESS = """
import os
import django
django.setup()
from workflows.worker.supervisor import Child, _run_child

def broken(on_tick, stopping):
    raise RuntimeError("the process broke")

reader, writer = os.pipe()
parent = os.getpid()
if os.fork() == 0:
    _run_child(Child("broken", broken, 1.0), writer, parent)
os.wait()
"""


def test_the_error_that_ends_a_process_of_a_worker() -> None:
    """It ends without exit handlers."""
    with SentryServer() as server:
        done = run_python(PROCESS, SENTRY_DSN=server.dsn)
    (event,) = server.events or [pytest.fail(done.stderr)]
    assert event["exception"]["values"][-1]["value"] == "the process broke"


def test_a_server_that_is_gone_costs_nothing(alice: User, tmp_path: Path) -> None:
    step = {"name": "One", "tool": "PROBE_RAISE", "arguments": {}, "maxAttempts": 1}
    start_job(alice, payload={"workflowName": "W", "steps": [step]})
    log = tmp_path / "log"
    with manage("work", "--drain", log=log, SENTRY_DSN="http://key@127.0.0.1:9/1", WORKERS="1") as process:
        process.wait(40)
    assert WorkflowExecution.objects.get().status == "failed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENTRY_DSN", "hunter2"),
        ("SENTRY_DSN", "https://sentry.example/42"),
        ("SENTRY_DSN", "https://hunter2@sentry.example"),
        ("SENTRY_DSN", "https://hunter2@sentry.example/project"),
        ("SENTRY_DSN", "ftp://hunter2@sentry.example/1"),
        ("SENTRY_DSN", "https://hunter2@sentry.example:port/1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(name: str, value: str) -> None:
    done: Any = run_python("import django; django.setup()", **{name: value})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert f"{name}: " in last
    assert "hunter2" not in last
