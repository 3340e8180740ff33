"""Who holds a step: only they renew its lease, tell of it, and give it back; and when it is taken away."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from tests.engine.conftest import Start, side_by_side, statuses
from tests.engine.test_verbs import expire, take
from workflows import engine
from workflows import statements as sql
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.queue.beat import Beat
from workflows.queue.housekeeper import Housekeeper
from workflows.steps import Claim, NewStep
from workflows.transaction import run
from workflows.turn import Holder


@dataclass
class Held:
    """What the beat asks of a runner."""

    holder: Holder
    claims: list[Claim]
    ticked: float = field(default_factory=time.monotonic)
    renewed: float = 0.0
    stopping: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    def leases(self) -> dict[UUID, UUID]:
        return {claim.token: claim.step_id for claim in self.claims}


def beat(runner: Held) -> bool:
    """One beat. Whether it went through."""
    beat = Beat(runner, kind="runner")
    try:
        return beat._has_beaten()
    finally:
        beat._close()


def lease_of(claim: Claim) -> datetime:
    until = WorkflowStep.objects.get(pk=claim.step_id).lease_until
    assert until is not None
    return until


def lose(claim: Claim) -> None:
    expire(claim.step_id)
    assert engine.reap() == 1


@pytest.mark.django_db(transaction=True)
def test_a_beat_renews_what_is_held(start: Start, holder: Holder) -> None:
    start(*side_by_side(1))
    claims = take(holder)
    before = lease_of(claims[0])
    runner = Held(holder, claims)
    assert beat(runner)
    assert lease_of(claims[0]) > before
    assert runner.renewed > 0


@pytest.mark.django_db(transaction=True)
def test_a_late_beat_does_not_renew_a_successors_lease(start: Start, holder: Holder, other: Holder) -> None:
    """Else a step whose new worker has died as well would never come back while the old one lives."""
    start(*side_by_side(1))
    late = take(holder)
    lose(late[0])
    (claim,) = take(other)
    before = lease_of(claim)
    beat(Held(holder, late))
    assert lease_of(claim) == before


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_does_not_tick_renews_nothing(start: Start, holder: Holder) -> None:
    start(*side_by_side(1))
    claims = take(holder)
    before = lease_of(claims[0])
    runner = Held(holder, claims, ticked=time.monotonic() - holder.lease)
    assert not beat(runner)
    assert lease_of(claims[0]) == before
    assert runner.renewed == 0


def test_only_the_holder_tells_of_progress(start: Start, holder: Holder, other: Holder, db: None) -> None:
    execution = start(*side_by_side(1))
    (late,) = take(holder)
    lose(late)
    (claim,) = take(other)
    for each, percent in ((claim, 50), (late, 90)):
        report: dict[str, Any] = {
            "steps": [each.step_id],
            "tokens": [each.token],
            "progress": [percent],
            "messages": ["so far"],
        }
        with connection.cursor() as cursor:
            cursor.execute(sql.REPORT, report)
    assert execution.steps.get().progress == 50


def test_only_the_holder_keeps_arguments(start: Start, holder: Holder, other: Holder) -> None:
    execution = start(NewStep("x"))
    (late,) = take(holder)
    lose(late)
    (claim,) = take(other)
    engine.keep_arguments(claim, {"chosen": "now"})
    engine.keep_arguments(late, {"chosen": "before"})
    assert execution.steps.get().arguments == {"chosen": "now"}


def test_only_its_own_claims_go_back(start: Start, holder: Holder, other: Holder) -> None:
    execution = start(*side_by_side(3), max_parallel=3)
    kept, lost, others = (*take(holder), *take(holder), *take(other))
    assert run(engine.releasing(holder, [kept.token])) == 1
    running = execution.steps.filter(status="running").values_list("pk", flat=True)
    assert set(running) == {kept.step_id, others.step_id}
    assert WorkflowStep.objects.get(pk=lost.step_id).status == "ready"


def test_the_reaper_takes_only_what_has_run_out(start: Start, holder: Holder) -> None:
    execution = start(*side_by_side(2))
    claims = [*take(holder), *take(holder)]
    lose(claims[0])
    assert statuses(execution.pk) == ["ready", "running"]


@pytest.mark.parametrize(
    ("connected", "server_age", "is_reaped"), [(0, 3600, False), (3600, 0, False), (3600, 3600, True)]
)
def test_nothing_is_reaped_within_a_lease_of_an_outage(
    start: Start, holder: Holder, monkeypatch: pytest.MonkeyPatch, connected: int, server_age: int, is_reaped: bool
) -> None:
    """Of PostgreSQL's start, or of the housekeeper's own connection: nobody can have renewed before."""
    execution = start(*side_by_side(1))
    expire(take(holder)[0].step_id)
    housekeeper = Housekeeper()
    housekeeper.connected = time.monotonic() - connected
    monkeypatch.setattr(housekeeper, "_server_age", lambda: server_age)
    monkeypatch.setattr("workflows.queue.housekeeper.scheduler", lambda broker: None)
    housekeeper.turn()
    assert (statuses(execution.pk) == ["ready"]) == is_reaped


def test_one_housekeeper_at_a_time_and_the_next_when_its_lease_has_run_out(
    start: Start, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = start(*side_by_side(1))
    expire(take(holder)[0].step_id)
    monkeypatch.setattr(Housekeeper, "_server_age", lambda self: 3600)
    monkeypatch.setattr("workflows.queue.housekeeper.scheduler", lambda broker: None)
    first, second = Housekeeper(), Housekeeper()
    first.turn()
    second.connected = time.monotonic() - 3600
    second.turn()
    assert statuses(execution.pk) == ["running"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_duties SET lease_until = clock_timestamp() - interval '1 second'")
    second.turn()
    assert statuses(execution.pk) == ["ready"]
    assert WorkflowExecution.objects.get(pk=execution.pk).message_id is not None
