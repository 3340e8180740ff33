"""What makes a runner look for work: a notification, the time of the next message, and a slow poll."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from aiworkstation.audit.models import AuditEvent
from tests.support.runner import work
from tests.support.turns import turn
from tests.workflows.conftest import Start, chain, side_by_side
from tests.workflows.engine.test_verbs import take
from tests.workflows.worker.test_runner import ignore, in_other_thread, lines
from workflows import engine
from workflows.database_connections import connect
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import Demand, WorkerInfo, take_turn
from workflows.errors import TryLater
from workflows.models import Cooldown, WorkflowExecution
from workflows.network import cooldowns
from workflows.steps import NewStep
from workflows.worker.capacity import SlotSizes
from workflows.worker.listener import Listener
from workflows.worker.runner import Runner

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = 3600.0
"""Longer than the test waits for anything."""


@pytest.fixture
def without_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.worker.runner.POLL_SECONDS", NEVER)


@pytest.fixture
def without_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "_handle", ignore)


async def until_idle(runner: Runner) -> None:
    """Waits until the runner has looked for every kind of slot, found nothing, and listens."""
    while runner.capacity.can_claim:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)


def test_a_notification(start: Start, ledger: Path, without_poll: None) -> None:
    async def begin(runner: Runner) -> None:
        await until_idle(runner)
        await asyncio.to_thread(in_other_thread, lambda: start(*chain(1, "PROBE_SLEEP")))
        while not lines(ledger, "end"):
            await asyncio.sleep(0.01)

    work(during=begin)


def test_the_next_message_is_due(start: Start, ledger: Path, without_poll: None, without_notifications: None) -> None:
    work(start(*chain(1, "PROBE_SLEEP"), delay=2))
    assert lines(ledger, "end")


def test_a_poll_finds_what_no_notification_said(start: Start, ledger: Path, without_notifications: None) -> None:
    async def begin(runner: Runner) -> None:
        await until_idle(runner)
        await asyncio.to_thread(in_other_thread, lambda: start(*chain(1, "PROBE_SLEEP")))
        while not lines(ledger, "end"):
            await asyncio.sleep(0.01)

    work(during=begin)


def test_nothing_is_taken_that_no_slot_is_free_for(start: Start, ledger: Path, worker: WorkerInfo) -> None:
    """Another worker has it meanwhile."""
    long = start(NewStep("long", tool="PROBE_SLEEP", arguments={"seconds": 60}))

    async def begin(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        next_job: Any = await asyncio.to_thread(in_other_thread, lambda: start(*chain(1, "PROBE_SLEEP")))
        seen = runner._turn_began_at
        while runner._turn_began_at == seen:
            await asyncio.sleep(0.01)
        claims: Any = await asyncio.to_thread(in_other_thread, lambda: take(worker))
        assert [claim.execution_id for claim in claims] == [next_job.pk]
        await asyncio.to_thread(in_other_thread, lambda: engine.cancel(long.pk, actor="alice"))

    work(long, during=begin, sizes=SlotSizes(coroutines=1))


def test_a_cancels_notification(start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the runner looks each second where it got lost is seen in test_runner."""
    monkeypatch.setattr("workflows.worker.listener.LOOK_EVERY", NEVER)
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 600}))

    async def cancel(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        await asyncio.to_thread(in_other_thread, lambda: engine.cancel(execution.pk, actor="alice"))
        while runner.held:
            await asyncio.sleep(0.01)

    work(execution, during=cancel)


@pytest.mark.parametrize("hears", [True, False])
def test_what_another_worker_was_told_cools_this_one_down(
    start: Start, worker: WorkerInfo, monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    """Its notification says so, and the look each second where that got lost."""
    monkeypatch.setattr("workflows.worker.listener.LOOK_EVERY", NEVER if hears else 1.0)
    if not hears:
        monkeypatch.setattr(Listener, "_handle", ignore)
    monkeypatch.setattr(cooldowns, "_ends_at", {})
    start(*side_by_side(1))
    (claim,) = take(worker)

    async def cool(runner: Runner) -> None:
        await until_idle(runner)
        monkeypatch.setattr(cooldowns, "_ends_at", {})
        busy = TryLater("busy", delay=600, cooldown="model:x")
        if hears:
            outcome = Outcome.waiting(claim, busy, busy.delay)
            await asyncio.to_thread(in_other_thread, lambda: turn(worker, [outcome], []))
        else:
            row = Cooldown(key="model:x", until=timezone.now() + timedelta(minutes=10))
            await asyncio.to_thread(in_other_thread, row.save)
        while "model:x" not in cooldowns._ends_at:
            await asyncio.sleep(0.01)

    work(during=cool)


def test_the_first_of_two_idle_runners_takes_what_both_hear_of(start: Start, ledger: Path) -> None:
    first = Runner("worker first", 30, SlotSizes())
    second = Runner("worker second", 30, SlotSizes(), patience=NEVER)

    async def main() -> WorkflowExecution:
        running = [asyncio.create_task(each.run()) for each in (second, first)]
        try:
            await asyncio.sleep(0.5)
            execution = await asyncio.to_thread(in_other_thread, lambda: start(*chain(2, "PROBE_SLEEP")))
            assert isinstance(execution, WorkflowExecution)
            while not execution.is_finished:
                await asyncio.sleep(0.05)
                await asyncio.to_thread(in_other_thread, execution.refresh_from_db)
        finally:
            for each in running:
                each.cancel()
            await asyncio.wait(running)
        return execution

    execution = asyncio.run(asyncio.wait_for(main(), 60))
    actors = AuditEvent.objects.filter(execution_id=execution.pk, action="step.started").values_list("actor", flat=True)
    assert set(actors) == {"worker first"}


def test_a_claim_reads_no_more_however_many_jobs_wait(start: Start, worker: WorkerInfo) -> None:
    """Due or delayed, first lanes or further ones."""
    for _ in range(100):
        start(*chain(1))
        start(*chain(1), delay=600)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_executions SET steps_running = 1 WHERE steps_running = 0 AND random() < 0.3")

    async def main() -> int:
        line = await connect("engine", "test")
        async with line.transaction():
            worked = await take_turn(line, worker, [], [Demand("async", 1)])
            cursor = await line.execute(
                "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables"
                " WHERE relname IN ('django_q_ormq', 'workflow_executions', 'workflow_steps')"
            )
            ((number,),) = await cursor.fetchall()
        await line.close()
        assert len(worked.claims) == 1
        return int(number)

    assert asyncio.run(main()) < 30
