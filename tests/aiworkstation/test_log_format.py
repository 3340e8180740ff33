"""The log as lines and as JSON, with request, user, job and step."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from aiworkstation.log_format import JsonFormatter, LineFormatter, LogContext, log_step
from tests.support.jobs import claim, start_job
from workflows.worker.step_executor import StepExecutor
from workflows.worker.threads import in_thread

logger = logging.getLogger("probe")


class Kept(logging.Handler):
    """Keeps what is logged, in both formats."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(LogContext())
        self.lines: list[str] = []
        self.entries: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(LineFormatter().format(record))
        text = JsonFormatter().format(record)
        assert "\n" not in text
        self.entries.append(json.loads(text))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    loggers = [logger, logging.getLogger("django.request"), logging.getLogger("workflows")]
    for each in loggers:
        each.addHandler(handler)
    yield handler
    for each in loggers:
        each.removeHandler(handler)


def test_outside_of_everything(kept: Kept) -> None:
    logger.warning("count %d", 3)
    assert re.fullmatch(r"[\d-]{10} [\d:,]{12} WARNING \[-\] probe: count 3", kept.lines[0])
    (entry,) = kept.entries
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {"level": "WARNING", "logger": "probe", "message": "count 3"}


def test_an_error_has_its_traceback(kept: Kept) -> None:
    try:
        raise ValueError("line\nbreak")
    except ValueError:
        logger.exception("broke")
    assert kept.entries[0]["error"].endswith("ValueError: line\nbreak")


def test_a_request_and_its_user(kept: Kept, as_alice: Client, at_alice: Client) -> None:
    as_alice.get("/api/jobs/nothing", headers={"X-Request-Id": "mine-1"})
    at_alice.get("/api/jobs/nothing", headers={"X-Request-Id": "mine-2"})
    at_alice.post("/jobs/", headers={"X-Request-Id": "mine-3"})
    assert [(entry["request"], entry.get("user")) for entry in kept.entries] == [
        ("mine-1", "alice"),
        ("mine-2", "alice"),
        ("mine-3", "alice"),
    ]
    assert "[mine-1 user=alice]" in kept.lines[0]


def test_a_user_who_was_not_loaded_is_not_read(kept: Kept, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = SimpleLazyObject(lambda: 1 / 0)  # type: ignore[assignment]
    logger.warning("x", extra={"request": request})
    assert "user" not in kept.entries[0]


def test_a_step(kept: Kept) -> None:
    with log_step(job="j1", step="s1", user="alice b"):
        logger.error("x")
    logger.error("y")
    assert kept.entries[0]["job"] == "j1"
    assert '[- user="alice b" job=j1 step=s1]' in kept.lines[0]
    assert "job" not in kept.entries[1]


def test_steps_side_by_side_and_their_threads(kept: Kept) -> None:
    async def run(name: str) -> None:
        with log_step(job=name, step=name, user=name):
            await asyncio.sleep(0.01)
            await in_thread(threads, logger.error, name)

    async def both() -> None:
        await asyncio.gather(run("one"), run("two"))

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(both())
    assert sorted((entry["message"], entry["job"]) for entry in kept.entries) == [("one", "one"), ("two", "two")]


@pytest.mark.django_db(transaction=True)
def test_the_log_of_a_real_step(kept: Kept, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error in a step is logged by the worker."""
    job = start_job(alice)
    held = claim(job.pk)[0]
    monkeypatch.setattr("workflows.worker.step_executor.model_task", lambda claim: 1 / 0)

    async def execute() -> None:
        executor = StepExecutor(threads=1)
        await executor.execute(held, lambda percent, message: None)
        await executor.close()

    asyncio.run(execute())
    (entry,) = (each for each in kept.entries if "ZeroDivisionError" in each.get("error", ""))
    assert (entry["job"], entry["step"], entry["user"]) == (str(job.pk), str(held.step_id), "alice")
