"""`GET /api/metrics/jobs`: figures of jobs over time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.models import Worker, WorkflowExecution, WorkflowStep

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PERIOD = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T13:00:00Z"}


def ask(client: Client, **query: str) -> dict[str, Any]:
    answer = client.get("/api/metrics/jobs", PERIOD | query)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def at(job: WorkflowExecution, *, created: int, started: int | None, finished: int | None) -> None:
    """Puts the job at seconds after noon."""
    times = {"created_at": created, "started_at": started, "finished_at": finished}
    WorkflowExecution.objects.filter(pk=job.pk).update(
        **{name: None if seconds is None else NOON + timedelta(seconds=seconds) for name, seconds in times.items()}
    )


def sums(found: dict[str, Any]) -> list[int]:
    names = ("started", "completed", "failed", "cancelled")
    return [sum(bucket[name] for bucket in found["buckets"]) for name in names]


def test_the_shape(as_alice: Client) -> None:
    found = ask(as_alice)
    assert list(found) == ["buckets", "queue", "workers"]
    assert len(found["buckets"]) == 60
    assert found["buckets"][0] == {
        "at": "2026-03-01T12:00:00.000Z",
        "seconds": 60,
        "started": 0,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
        "waitP50Ms": None,
        "waitP95Ms": None,
        "durationP50Ms": None,
        "durationP95Ms": None,
        "inputTokens": 0,
        "outputTokens": 0,
        "costUsd": None,
    }
    assert found["buckets"][-1]["at"] == "2026-03-01T12:59:00.000Z"
    assert found["queue"] == {"depth": 0, "oldestDueSeconds": 0}
    assert found["workers"] == {"alive": 0, "slots": 0, "busy": 0}


def test_counts_and_times(as_alice: Client, alice: User) -> None:
    completed, failed, cancelled, old = (start_job(alice) for _ in range(4))
    complete_all(completed)
    fail(claim(failed.pk)[0])
    engine.cancel(cancelled.pk, actor="alice")
    complete_all(old)
    at(completed, created=10, started=12, finished=75)
    at(failed, created=20, started=24, finished=27)
    at(cancelled, created=30, started=None, finished=40)
    at(old, created=-500, started=-400, finished=-300)
    first, second, *_ = ask(as_alice)["buckets"]
    assert (first["started"], first["completed"], first["failed"], first["cancelled"]) == (2, 0, 1, 1)
    assert (first["waitP50Ms"], first["waitP95Ms"], first["durationP50Ms"]) == (3000, 3900, 3000)
    assert (second["started"], second["completed"], second["durationP95Ms"]) == (0, 1, 63_000)
    assert sums(ask(as_alice)) == [2, 1, 1, 1]


def test_a_job_that_still_runs(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    claim(job.pk)
    at(job, created=-90_000, started=30, finished=None)
    assert sums(ask(as_alice)) == [1, 0, 0, 0]


def test_a_job_that_ends_after_the_period(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    complete_all(job)
    at(job, created=0, started=30, finished=90_000)
    assert sums(ask(as_alice)) == [1, 0, 0, 0]


def test_tokens_and_cost(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    for _ in range(2):
        usage = {"inputTokens": 10, "outputTokens": 4, "costUsd": "0.25"}
        complete(claim(job.pk)[0], {"text": ""}, model="gpt-5", usage=usage)
    at(job, created=0, started=1, finished=2)
    bucket = ask(as_alice)["buckets"][0]
    assert (bucket["inputTokens"], bucket["outputTokens"], bucket["costUsd"]) == (20, 8, "0.50")
    WorkflowStep.objects.filter(index=0).update(usage={"inputTokens": 1, "outputTokens": 1, "costUsd": None})
    assert ask(as_alice)["buckets"][0]["costUsd"] is None


@pytest.mark.parametrize(
    "match",
    [{"type": "workflow"}, {"model": "gpt-4o"}, {"model": "answered"}, {"mode": "Sales"}, {"projectId": "p1"}],
)
def test_filters(as_alice: Client, alice: User, match: dict[str, str]) -> None:
    payload = {"workflowName": "x", "steps": [{"name": "One"}], "modelId": "gpt-4o", "mode": "Sales"}
    job = start_job(alice, payload=payload, projectId="p1")
    complete(claim(job.pk)[0], None, model="answered")
    at(job, created=0, started=1, finished=2)
    assert sums(ask(as_alice, **match)) == [1, 1, 0, 0]
    ((name, _),) = match.items()
    assert sums(ask(as_alice, **{name: "other"})) == [0, 0, 0, 0]


def test_whose_jobs(as_alice: Client, as_bob: Client, as_charlie: Client, alice: User) -> None:
    job = start_job(alice)
    complete_all(job)
    at(job, created=0, started=1, finished=2)
    assert sums(ask(as_alice)) == [1, 1, 0, 0]
    assert sums(ask(as_bob)) == sums(ask(as_bob, owner="all")) == sums(ask(as_charlie)) == [0, 0, 0, 0]
    assert sums(ask(as_charlie, owner="all")) == sums(ask(as_charlie, owner="alice")) == [1, 1, 0, 0]
    assert sums(ask(as_charlie, owner="bob")) == [0, 0, 0, 0]


def test_the_queue_and_the_workers(as_alice: Client, alice: User, bob: User) -> None:
    start_job(alice)
    start_job(alice, delaySeconds=1000)
    start_job(bob)
    WorkflowExecution.objects.filter(wake_at__lt=timezone.now()).update(wake_at=timezone.now() - timedelta(seconds=50))
    Worker.objects.create(kind="runner", host="here", pid=1, slots=7, sizes={"async": 5, "thread": 2})
    found = ask(as_alice)
    assert found["queue"]["depth"] == 1
    assert found["queue"]["oldestDueSeconds"] == pytest.approx(50, abs=20)
    assert found["workers"] == {"alive": 1, "slots": 7, "busy": 0}


@pytest.mark.parametrize(
    ("length", "seconds"),
    [
        (60, 60),
        (3600, 60),
        (6001, 300),
        (24 * 3600, 900),
        (7 * 86400, 6 * 3600),
        (90 * 86400, 86400),
        (699 * 86400, 604800),
    ],
)
def test_the_width_of_buckets(as_alice: Client, length: int, seconds: int) -> None:
    end = (NOON + timedelta(seconds=length)).isoformat()
    found = ask(as_alice, to=end)
    assert found["buckets"][0]["seconds"] == seconds
    assert 1 <= len(found["buckets"]) <= 102
    assert found["buckets"][0]["at"] <= "2026-03-01T12:00:00.000Z"


def test_without_a_period_it_is_the_last_day(as_alice: Client) -> None:
    found = as_alice.get("/api/metrics/jobs").json()
    assert found["buckets"][0]["seconds"] == 900
    assert 96 <= len(found["buckets"]) <= 97


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "from"),
        ({"from": "2020-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "from"),
        ({"from": "0001-01-01T00:00:00Z", "to": "0001-01-02T00:00:00Z"}, "from"),
        ({"from": "9999-12-30T00:00:00Z", "to": "9999-12-31T00:00:00Z"}, "from"),
        ({"to": "0001-01-01T00:00:00Z"}, "to"),
        ({"since": "2026-03-02T00:00:00Z"}, "since"),
    ],
)
def test_bad_input(as_alice: Client, query: dict[str, str], attr: str) -> None:
    answer = as_alice.get("/api/metrics/jobs", query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == attr
