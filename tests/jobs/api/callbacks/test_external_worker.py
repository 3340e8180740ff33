"""EXTERNAL_WORKER with a runner in this process, a web server, and outside workers of every kind."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from django.conf import settings
from django.db import connection
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from aiworkstation import BASE_DIR
from aiworkstation.audit.models import AuditEvent
from tests.jobs.api.callbacks.conftest import Configure, Start, outside
from tests.servers.outside_worker import SECRET, OutsideWorker, signed
from tests.support.processes import wait_for
from tests.support.runner import work
from workflows import engine
from workflows.models import SecretGrant, WorkflowExecution
from workflows.network import webhooks
from workflows.steps import NewStep
from workflows.worker.runner import Runner

pytestmark = pytest.mark.django_db(transaction=True)
NODE_MODULES = os.environ.get("NODE_PATH", "")


@pytest.fixture
def worker(configure: Configure, live_server: LiveServer) -> Iterator[OutsideWorker]:
    with OutsideWorker() as server:
        configure(app_url=live_server.url, http_allowed_private_hosts=[server.place])
        yield server


@contextmanager
def housekeeping() -> Iterator[None]:
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(0.05):
            engine.end_silence()
        connection.close()

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run_step(start: Start, worker: OutsideWorker, path: str, **step: Any) -> WorkflowExecution:
    execution = start(outside(url=f"{worker.url}/{path}", **step))
    with housekeeping():
        work(execution)
    return execution


def statuses(worker: OutsideWorker) -> list[int]:
    return [status for status, _ in worker.answers]


def test_the_callbacks_address_is_the_views() -> None:
    assert reverse("jobs:api_update_step") == settings.CALLBACK_PATH


def test_it_works(start: Start, worker: OutsideWorker, live_server: LiveServer) -> None:
    execution = run_step(start, worker, "later", arguments={"payload": {"file": "a.pdf"}})
    step = execution.steps.get()
    assert (execution.status, step.output) == ("completed", {"seen": {"file": "a.pdf"}, "attempt": 1})
    (task,) = worker.tasks
    assert task == {
        "executionId": str(execution.pk),
        "stepId": str(step.pk),
        "attempt": 1,
        "callbackToken": webhooks.callback_token(step.pk, 1),
        "callbackUrl": f"{live_server.url}/api/workflow/update-step",
        "payload": {"file": "a.pdf"},
    }
    headers = worker.requests[0]["headers"]
    assert headers["webhook-id"] == f"{step.pk}-1"
    assert headers["idempotency-key"] == str(step.pk)
    assert headers["content-type"] == "application/json"
    actions = AuditEvent.objects.filter(object=f"step:{step.pk}").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["step.started", "step.handed_over", "step.completed", "callback.accepted"]


def test_an_answer_before_the_request_is_through(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "at-once")
    assert (execution.status, statuses(worker), len(worker.tasks)) == ("completed", [200], 1)
    assert not AuditEvent.objects.filter(action="step.result_refused").exists()


def test_an_answer_and_then_a_broken_connection(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "at-once-and-cut", max_attempts=1)
    assert (execution.status, statuses(worker), len(worker.tasks)) == ("completed", [200], 1)


def test_progress(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "progress")
    assert execution.status == "completed"
    # The job is finished before the worker has read the answer to its last callback.
    wait_for(lambda: len(worker.answers) == 3)
    seen = [(body["status"], body["progress"], body["message"]) for _, body in worker.answers]
    assert seen == [
        ("waiting", 10, "10 of 100 pages"),
        ("waiting", 60, "60 of 100 pages"),
        ("completed", 100, "60 of 100 pages"),
    ]


def test_a_failure_for_good(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "failing")
    assert execution.status == "failed"
    assert execution.steps.get().error == {
        "code": "no_paper",
        "message": "the printer is out of paper",
        "retryable": False,
    }


def test_a_failure_that_is_tried_again(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "failing-once")
    assert (execution.status, [task["attempt"] for task in worker.tasks]) == ("completed", [1, 2])
    first, second = worker.tasks
    assert first["callbackToken"] != second["callbackToken"]


def test_silence(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "silent-once", arguments={"timeoutSeconds": 2}, max_attempts=9)
    assert (execution.status, [task["attempt"] for task in worker.tasks][:2]) == ("completed", [1, 2])
    first, second, *_ = (request["headers"]["webhook-id"] for request in worker.requests)
    assert first != second


def test_silence_to_the_end(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "silent", arguments={"timeoutSeconds": 0.2}, max_attempts=1)
    assert execution.status == "failed"
    error = execution.steps.get().error
    assert error is not None
    assert error["code"] == "no_answer"


def test_a_replay(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "replaying")
    wait_for(lambda: len(worker.answers) == 2, what="the second answer")
    assert execution.steps.get().output == "once"
    assert [body.get("duplicate", False) for _, body in worker.answers] == [False, True]


def test_a_wrong_token(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "wrong-token")
    wait_for(lambda: len(worker.answers) == 2)
    assert statuses(worker) == [409, 200]
    assert execution.steps.get().output == {"seen": None, "attempt": 1}


def test_an_answer_in_spite_of_a_503(start: Start, worker: OutsideWorker) -> None:
    began = time.monotonic()
    execution = run_step(start, worker, "busy-once")
    assert (execution.status, statuses(worker), len(worker.tasks)) == ("completed", [200], 1)
    assert time.monotonic() - began < 25, "less than the header asks for"


def test_a_redirect_hands_nothing_over(start: Start, worker: OutsideWorker) -> None:
    execution = run_step(start, worker, "moved")
    assert (execution.status, len(worker.tasks)) == ("failed", 1)
    error = execution.steps.get().error
    assert error is not None
    assert error["code"] == "http_307"


def test_it_holds_no_slot_while_it_waits(start: Start, worker: OutsideWorker) -> None:
    execution = start(outside(url=f"{worker.url}/silent"), NewStep("behind", depends_on=[0]))

    async def look(runner: Runner) -> None:
        while not await asyncio.to_thread(waits):
            await asyncio.sleep(0.02)
        assert not runner.held
        assert all(pool.busy == 0 for pool in runner.capacity.pools.values())
        await asyncio.to_thread(cancel)

    def waits() -> bool:
        try:
            return execution.steps.filter(index=0, answer_by__isnull=False).exists()
        finally:
            connection.close()

    def cancel() -> None:
        engine.cancel(execution.pk, actor="alice")
        connection.close()

    work(execution, during=look)
    assert execution.status == "cancelled"


def test_without_a_callback_secret_it_fails_at_once(start: Start, worker: OutsideWorker, configure: Configure) -> None:
    configure(callback_secret="")
    execution = run_step(start, worker, "later")
    error = execution.steps.get().error
    assert error is not None
    assert (execution.status, error["code"], worker.requests) == ("failed", "not_configured", [])
    assert "CALLBACK_SECRET" in error["message"]


def test_a_private_address_is_not_reached(start: Start, worker: OutsideWorker, configure: Configure) -> None:
    configure(http_allowed_private_hosts=[])
    execution = run_step(start, worker, "later")
    error = execution.steps.get().error
    assert error is not None
    assert (error["code"], worker.requests) == ("address_not_allowed", [])


def test_secrets_reach_the_worker_alone(
    start: Start, worker: OutsideWorker, monkeypatch: pytest.MonkeyPatch, as_alice: Any
) -> None:
    monkeypatch.setenv("SECRET_PIN", "0815-4711")
    SecretGrant.objects.create(secret="PIN", hosts=[worker.place], places=["body:payload"])
    execution = run_step(start, worker, "later", arguments={"payload": "{{secret.PIN}}"})
    assert worker.tasks[0]["payload"] == "0815-4711"
    assert execution.steps.get().output == {"seen": "[secret]", "attempt": 1}
    text = as_alice.get(f"/api/jobs/{execution.pk}").content.decode()
    assert "0815" not in text
    assert worker.tasks[0]["callbackToken"] not in text


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_workers_of_the_docs(
    start: Start, worker: OutsideWorker, configure: Configure, tmp_path: Path, language: str
) -> None:
    text = (BASE_DIR / "docs/outside-workers.md").read_text()
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    program = sys.executable if language == "python" else shutil.which("node")
    if program is None or (language == "js" and not NODE_MODULES):
        pytest.skip("set NODE_PATH to where standardwebhooks is installed for Node")
    file = tmp_path / f"worker.{language}"
    file.write_text(code)
    port = free_port()
    configure(http_allowed_private_hosts=[f"127.0.0.1:{port}"])
    execution = start(outside(url=f"http://127.0.0.1:{port}/", arguments={"payload": "a.pdf"}))
    process = subprocess.Popen([program, str(file)], env={**os.environ, "CALLBACK_SECRET": SECRET, "PORT": str(port)})
    try:
        work(execution)
    finally:
        process.kill()
        process.wait()
    step = execution.steps.get()
    assert (step.output, step.message) == ({"printed": "a.pdf"}, "half of it")


def shell_examples() -> list[str]:
    text = (BASE_DIR / "docs/outside-workers.md").read_text()
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def bash() -> str:
    missing = [name for name in ("bash", "openssl", "curl", "jq") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the examples need {', '.join(missing)}")
    return str(shutil.which("bash"))


def test_the_callback_by_hand_of_the_docs(start: Start, worker: OutsideWorker, tmp_path: Path, bash: str) -> None:
    (by_hand, _) = shell_examples()
    execution = start(outside(url=f"{worker.url}/silent", arguments={"payload": {"file": "ü.pdf"}}))

    async def by_a_person(runner: Runner) -> None:
        while not worker.tasks:
            await asyncio.sleep(0.02)
        (tmp_path / "task.json").write_text(json.dumps(worker.tasks[0]))
        environment = {**os.environ, "CALLBACK_SECRET": SECRET}
        process = await asyncio.create_subprocess_exec(bash, "-c", by_hand, cwd=tmp_path, env=environment)
        assert await process.wait() == 0

    work(execution, during=by_a_person)
    assert (execution.status, execution.steps.get().output) == ("completed", {"printed": True})


@contextmanager
def started_for_each_connection(command: list[str]) -> Iterator[int]:
    """What `socat TCP-LISTEN:PORT,fork EXEC:…` does. Returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    processes = []

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with accepted:
                environment = {**os.environ, "CALLBACK_SECRET": SECRET}
                number = accepted.fileno()
                processes.append(subprocess.Popen(command, stdin=number, stdout=number, env=environment))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for process in processes:
            process.kill()
            process.wait()


def test_the_bash_worker_of_the_docs(
    start: Start, worker: OutsideWorker, configure: Configure, tmp_path: Path, bash: str
) -> None:
    (_, script) = shell_examples()
    file = tmp_path / "worker.sh"
    file.write_text(script)
    with started_for_each_connection([bash, str(file)]) as port:
        configure(http_allowed_private_hosts=[f"127.0.0.1:{port}"])
        execution = start(outside(url=f"http://127.0.0.1:{port}/", arguments={"payload": {"file": "ü.pdf"}}))
        work(execution)
        step = execution.steps.get()
        assert (step.output, step.message) == ({"printed": {"file": "ü.pdf"}}, "half of it")
        for change in ({"webhook-signature": "v1,forged"}, {"webhook-timestamp": "a[$(touch forged)]"}):
            body, headers = signed({"payload": "forged"})
            response = httpx2.post(f"http://127.0.0.1:{port}/", content=body, headers=headers | change, timeout=10)
            assert response.status_code == 401
        assert not (tmp_path / "forged").exists()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_urls_of_the_web_server_and_of_callbacks_agree(live_server: LiveServer, configure: Configure) -> None:
    configure(app_url="https://jobs.example.com/")
    assert webhooks.callback_url() == "https://jobs.example.com/api/workflow/update-step"
    assert urlsplit(settings.CONFIG.public_url).hostname == "jobs.example.com"
