"""Roll-ups say what the rows say, at any time, and what deleted and retried jobs did."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from tests.support.jobs import claim, complete, complete_all, fail, start_job
from tests.support.rollups import count_all
from workflows import engine
from workflows.engine import rollups
from workflows.engine.retention import prune
from workflows.engine.rollups import Scope, count_ended_jobs, percentile, read
from workflows.models import Rollup, RollupMark, WorkflowExecution, WorkflowStep
from workflows.worker.maintenance import Maintenance

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVER = (datetime(1971, 1, 1, tzinfo=UTC), datetime(2190, 1, 1, tzinfo=UTC))
MINUTES: tuple[str, ...] = ("slot", "job_type")
Counts = dict[tuple[int, str], int]


def by_minute(scope: Scope | None = None, width: int = 60) -> Counts:
    """The number of each thing that happened, by the beginning of its minute."""
    counts: Counts = Counter()
    for figure in read(scope or Scope(None), *EVER, width, MINUTES)["slot"]:
        counts[int(figure.value), figure.measure] += figure.number
    return {key: number for key, number in counts.items() if number}


def of_rows() -> Counts:
    """The same, counted from the rows one by one."""
    counts: Counts = Counter()
    for job in WorkflowExecution.objects.all():
        if job.started_at:
            counts[minute(job.started_at), "started"] += 1
        if job.finished_at:
            counts[minute(job.finished_at), job.status] += 1
            models = job.steps.filter(usage__isnull=False).values_list("model").distinct()
            counts[minute(job.finished_at), "usage"] += models.count()
    return {key: number for key, number in counts.items() if number}


def minute(at: datetime) -> int:
    return int(at.timestamp()) // 60 * 60


def stored() -> set[tuple[Any, ...]]:
    rows = Rollup.objects.exclude(number=0, input_tokens=0, cost=0)
    return set(rows.values_list("seconds", "at", "key", "number", "input_tokens", "output_tokens", "cost", "unpriced"))


def at(job: WorkflowExecution, seconds: int) -> None:
    """Puts the job at seconds after noon: it waits 2 s, and runs 5 s."""
    begin = NOON + timedelta(seconds=seconds)
    times = {
        "created_at": begin,
        "started_at": begin + timedelta(seconds=2),
        "finished_at": begin + timedelta(seconds=7),
    }
    WorkflowExecution.objects.filter(pk=job.pk).update(**times)


def spend(user: User, *, cost: str | None = "0.25", model: str = "gpt-5") -> WorkflowExecution:
    job = start_job(user)
    while claims := claim(job.pk):
        usage = {"inputTokens": 10, "outputTokens": 4, "costUsd": cost}
        complete(claims[0], {"text": ""}, model=model, usage=usage)
    return job


def failed(user: User) -> WorkflowExecution:
    job = start_job(user)
    fail(claim(job.pk)[0])
    return job


@pytest.fixture
def jobs(alice: User, bob: User) -> list[WorkflowExecution]:
    """Some of them around the ends of minutes, hours and days."""
    made = [spend(alice), spend(bob, cost=None, model="other"), failed(alice), failed(bob), start_job(alice)]
    for job, seconds in zip(made, (0, 3595, 12 * 3600 - 4, -3), strict=False):
        at(job, seconds)
    engine.cancel(made[-1].pk, actor="alice")
    claim(start_job(bob).pk)
    return made


def test_the_same_as_the_rows_before_and_after_counting(jobs: list[WorkflowExecution]) -> None:
    expected = of_rows()
    assert expected
    assert by_minute() == expected
    assert not Rollup.objects.exists()
    count_all()
    assert Rollup.objects.exists()
    assert by_minute() == expected


@pytest.mark.parametrize("width", [60, 3600, 24 * 3600, 7 * 24 * 3600])
def test_every_level(jobs: list[WorkflowExecution], width: int) -> None:
    count_all()
    expected: Counts = Counter()
    for (begin, measure), number in of_rows().items():
        expected[begin // width * width, measure] += number
    assert by_minute(width=width) == expected


def test_one_user_and_labels(jobs: list[WorkflowExecution], alice: User) -> None:
    for _ in range(2):
        found = read(Scope(alice.pk), *EVER, 60, ("model", "owner_id", "project_id"), ["usage"])
        (model,) = found["model"]
        assert (model.value, model.input_tokens, model.output_tokens) == ("gpt-5", 20, 8)
        assert (float(model.cost), model.unpriced) == (0.5, 0)
        assert [figure.value for figure in found["owner_id"]] == [str(alice.pk)]
        everybody = read(Scope(None), *EVER, 60, ("owner_id", "model"), ["usage"])
        assert {figure.value: figure.unpriced for figure in everybody["model"]} == {"gpt-5": 0, "other": 1}
        assert len(everybody["owner_id"]) == 2
        for scope in (Scope(None, model="gpt-5"), Scope(alice.pk, mode="General", model="gpt-5")):
            assert sum(number for (_, measure), number in by_minute(scope).items() if measure == "completed") == 1
        assert not by_minute(Scope(None, mode="Sales"))
        assert not by_minute(Scope(None, project_id="x"))
        count_all()


def test_counted_once(jobs: list[WorkflowExecution]) -> None:
    count_all()
    first = stored()
    count_all()
    assert stored() == first


def test_a_rebuild_gives_the_same(jobs: list[WorkflowExecution], alice: User) -> None:
    count_all()
    first, counts = stored(), by_minute()
    Rollup.objects.filter(is_kept=False).update(number=99)
    call_command("rebuild_rollups")
    count_all()
    assert stored() == first
    assert by_minute() == counts


def test_many_batches(jobs: list[WorkflowExecution], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "BATCH", 1)
    monkeypatch.setattr(rollups, "ROUNDS", 2)
    while not count_ended_jobs():
        assert not Rollup.objects.exists()  # other tests' transactions are open
    assert by_minute() == of_rows()  # halfway
    count_all()
    assert by_minute() == of_rows()
    rollups.rebuild()
    assert by_minute() == of_rows()


@pytest.mark.parametrize("is_counted", [True, False])
def test_deleted_jobs_stay(jobs: list[WorkflowExecution], is_counted: bool) -> None:
    before = by_minute()
    if is_counted:
        count_all()
    for job in jobs[:3]:
        assert engine.delete(job.pk, actor="alice")
    assert by_minute() == before
    assert prune(days=1).jobs == 1
    assert by_minute() == before
    count_all()
    assert by_minute() == before
    rollups.rebuild()
    assert by_minute() == before


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_retried_job_failed_all_the_same(alice: User, is_counted: bool) -> None:
    job = failed(alice)
    at(job, 0)
    if is_counted:
        count_all()
    assert engine.retry(job.pk, actor="alice")
    assert by_minute() == {(minute(NOON), "started"): 1, (minute(NOON), "failed"): 1}
    complete_all(job)
    job.refresh_from_db()
    assert job.finished_at
    for _ in range(2):
        counts = by_minute()
        assert counts[minute(NOON), "failed"] == counts[minute(job.finished_at), "completed"] == 1
        assert sum(counts.values()) == 4
        count_all()
    rollups.rebuild()
    assert by_minute() == counts


def test_a_refused_retry_or_deletion_changes_nothing(alice: User) -> None:
    completed, live = start_job(alice), start_job(alice)
    complete_all(completed)
    count_all()
    before = stored()
    assert not engine.retry(completed.pk, actor="alice")
    assert not engine.delete(live.pk, actor="alice")
    assert stored() == before


def test_usage_of_a_retried_job_counts_once(alice: User) -> None:
    job = start_job(alice)
    usage = {"inputTokens": 10, "outputTokens": 4, "costUsd": "0.25"}
    complete(claim(job.pk)[0], {"text": ""}, model="gpt-5", usage=usage)
    fail(claim(job.pk)[0])
    count_all()
    engine.retry(job.pk, actor="alice")
    complete_all(job)
    count_all()
    (model,) = read(Scope(None), *EVER, 60, ("model",), ["usage"])["model"]
    assert (model.input_tokens, model.number) == (10, 1)


def test_odd_times_and_usage(alice: User) -> None:
    """A job that ended before it began, one that ran for years, and usage that is none."""
    backwards, long = spend(alice), spend(alice, cost="NaN")
    day = timedelta(days=1)
    WorkflowExecution.objects.filter(pk=backwards.pk).update(started_at=NOON, finished_at=NOON - day)
    WorkflowExecution.objects.filter(pk=long.pk).update(created_at=NOON, started_at=NOON - 9999 * day, finished_at=NOON)
    WorkflowStep.objects.filter(execution=backwards).update(usage={"inputTokens": 2**53 - 1, "costUsd": "1e9"})
    expected = by_minute()
    count_all()
    assert by_minute() == expected == of_rows()
    assert {row.bucket for row in Rollup.objects.filter(measure="completed")} > {-1}


@pytest.mark.parametrize("milliseconds", [1, 7, 50, 999, 12_345, 86_400_000])
def test_percentiles_are_close(alice: User, milliseconds: int) -> None:
    job = start_job(alice)
    complete_all(job)
    WorkflowExecution.objects.filter(pk=job.pk).update(
        started_at=NOON, finished_at=NOON + timedelta(milliseconds=milliseconds)
    )
    (figure,) = read(Scope(None), *EVER, 60, ("job_type",), ["completed"])["job_type"]
    assert percentile({figure.bucket: 1}, 0.5) == pytest.approx(milliseconds, rel=0.1)


def test_percentile_of_nothing() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({3: 1, 9: 3}, 0.95) == pytest.approx(rollups.length_of(9, 0.93), rel=0.01)


# --- two connections


@pytest.fixture
def elsewhere(transactional_db: None) -> Iterator[list[Thread]]:
    threads: list[Thread] = []
    yield threads
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def run(threads: list[Thread], work: Any) -> None:
    def closing() -> None:
        try:
            work()
        finally:
            connection.close()

    threads.append(Thread(target=closing))
    threads[-1].start()


def test_two_at_once_count_each_job_once(elsewhere: list[Thread], alice: User) -> None:
    for _ in range(5):
        complete_all(start_job(alice))
    for _ in range(4):
        run(elsewhere, lambda: [count_ended_jobs() for _ in range(10)])
    for thread in elsewhere:
        thread.join(20)
    count_all()
    assert by_minute() == of_rows()
    everybody = Rollup.objects.filter(owner_id=0, seconds=60, measure="completed")
    assert sum(row.number for row in everybody) == 5


def test_a_job_whose_commit_is_late_is_counted(elsewhere: list[Thread], alice: User) -> None:
    """The mark must not pass a transaction that has written `finished_at` and is still open."""
    job, quick = start_job(alice), start_job(alice)
    has_ended, may_commit = Event(), Event()

    def end_slowly() -> None:
        with transaction.atomic():
            engine.cancel(job.pk, actor="alice")
            has_ended.set()
            may_commit.wait(20)

    run(elsewhere, end_slowly)
    assert has_ended.wait(20)
    complete_all(quick)
    for _ in range(3):
        count_ended_jobs()
    assert not Rollup.objects.exists()
    assert by_minute() == of_rows()
    may_commit.set()
    elsewhere[0].join(20)
    assert by_minute() == of_rows()
    count_all()
    assert {row.measure for row in Rollup.objects.all()} == {"started", "completed", "cancelled"}
    assert by_minute() == of_rows()


def test_a_deletion_at_the_same_time(elsewhere: list[Thread], alice: User) -> None:
    """The deletion and the count wait for each other: the job is counted once, whoever is first."""
    jobs = [start_job(alice) for _ in range(8)]
    for job in jobs:
        complete_all(job)
    before = by_minute()
    run(elsewhere, lambda: [engine.delete(job.pk, actor="alice") for job in jobs])
    run(elsewhere, lambda: [count_ended_jobs() for _ in range(10)])
    for thread in elsewhere:
        thread.join(20)
    count_all()
    assert by_minute() == before
    rollups.rebuild()
    assert by_minute() == before


def test_maintenance_counts(transactional_db: None, alice: User) -> None:
    complete_all(start_job(alice))
    deadline = time.monotonic() + 600
    maintenance = Maintenance()
    while not Rollup.objects.exists():
        maintenance.rolled_up_at = 0.0
        maintenance.do_round()
        assert time.monotonic() < deadline
    assert by_minute() == of_rows()


def test_after_a_restore_to_another_server(alice: User) -> None:
    """Its transaction ids are smaller than the one that was noted."""
    RollupMark.objects.create(counted_to=rollups.NEVER, next_to=NOON, next_xid=2**50)
    complete_all(start_job(alice))
    count_all()
    assert Rollup.objects.filter(measure="completed").exists()
