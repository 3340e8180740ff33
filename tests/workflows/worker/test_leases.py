"""Leases: what only the holder of a step may do with it, and when others may take it."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from tests.workflows.conftest import Start, side_by_side, statuses
from tests.workflows.engine.test_verbs import expire, take
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.leases import STORE_PROGRESS
from workflows.engine.turn import WorkerInfo
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.worker.lease_renewer import LeaseRenewer
from workflows.worker.maintenance import Maintenance


@dataclass
class FakeRunner:
    """What the lease renewer needs of a runner."""

    identity: WorkerInfo
    claims: list[Claim]
    ticked_at: float = field(default_factory=time.monotonic)
    renewed_at: float = 0.0
    lacks: dict[str, str] = field(default_factory=dict)
    stopping: bool = False
    is_drained: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    def leases(self) -> dict[UUID, UUID]:
        return {claim.token: claim.step_id for claim in self.claims}


def renew(runner: FakeRunner) -> bool:
    """Renews once. Returns whether it succeeded."""
    renewer = LeaseRenewer(runner, kind="runner")
    try:
        return renewer._renew()
    finally:
        renewer._close()


def lease_of(claim: Claim) -> datetime:
    until = WorkflowStep.objects.get(pk=claim.step_id).lease_until
    assert until is not None
    return until


def lose(claim: Claim) -> None:
    expire(claim.step_id)
    assert engine.reap() == 1


@pytest.mark.django_db(transaction=True)
def test_the_leases_of_held_steps_are_renewed(start: Start, worker: WorkerInfo) -> None:
    start(*side_by_side(1))
    claims = take(worker)
    before = lease_of(claims[0])
    runner = FakeRunner(worker, claims)
    assert renew(runner)
    assert lease_of(claims[0]) > before
    assert runner.renewed_at > 0


@pytest.mark.django_db(transaction=True)
def test_a_late_renewal_does_not_renew_a_successors_lease(
    start: Start, worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    """Otherwise a step whose new worker has died too would never come back while the old worker lives."""
    start(*side_by_side(1))
    late = take(worker)
    lose(late[0])
    (claim,) = take(other_worker)
    before = lease_of(claim)
    renew(FakeRunner(worker, late))
    assert lease_of(claim) == before


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_does_not_tick_renews_nothing(start: Start, worker: WorkerInfo) -> None:
    start(*side_by_side(1))
    claims = take(worker)
    before = lease_of(claims[0])
    runner = FakeRunner(worker, claims, ticked_at=time.monotonic() - worker.lease)
    assert not renew(runner)
    assert lease_of(claims[0]) == before
    assert runner.renewed_at == 0


def test_only_the_holder_reports_progress(start: Start, worker: WorkerInfo, other_worker: WorkerInfo, db: None) -> None:
    execution = start(*side_by_side(1))
    (late,) = take(worker)
    lose(late)
    (claim,) = take(other_worker)
    for each, percent in ((claim, 50), (late, 90)):
        report: dict[str, Any] = {
            "steps": [each.step_id],
            "tokens": [each.token],
            "progress": [percent],
            "messages": ["so far"],
        }
        with connection.cursor() as cursor:
            cursor.execute(STORE_PROGRESS, report)
    assert execution.steps.get().progress == 50


def test_only_the_holder_keeps_arguments(start: Start, worker: WorkerInfo, other_worker: WorkerInfo) -> None:
    execution = start(NewStep("x"))
    (late,) = take(worker)
    lose(late)
    (claim,) = take(other_worker)
    engine.keep_arguments(claim, {"chosen": "now"}, "test-model")
    engine.keep_arguments(late, {"chosen": "before"}, "test-model")
    assert execution.steps.get().arguments == {"chosen": "now"}


def test_only_its_own_claims_go_back(start: Start, worker: WorkerInfo, other_worker: WorkerInfo) -> None:
    execution = start(*side_by_side(3), max_parallel=3)
    kept, lost, others = (*take(worker), *take(worker), *take(other_worker))
    assert engine.release_strays(worker.id, [kept.token], actor=worker.name) == 1
    running = execution.steps.filter(status="running").values_list("pk", flat=True)
    assert set(running) == {kept.step_id, others.step_id}
    assert WorkflowStep.objects.get(pk=lost.step_id).status == "ready"


def test_the_reaper_takes_only_leases_that_ran_out(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    claims = [*take(worker), *take(worker)]
    lose(claims[0])
    assert statuses(execution.pk) == ["ready", "running"]


@pytest.mark.parametrize(
    ("connected", "server_age", "is_reaped"), [(0, 3600, False), (3600, 0, False), (3600, 3600, True)]
)
def test_nothing_is_reaped_within_a_lease_of_an_outage(
    start: Start,
    worker: WorkerInfo,
    monkeypatch: pytest.MonkeyPatch,
    connected: int,
    server_age: int,
    is_reaped: bool,
) -> None:
    """After the start of PostgreSQL or of maintenance's connection: nobody could renew before."""
    execution = start(*side_by_side(1))
    expire(take(worker)[0].step_id)
    maintenance = Maintenance()
    maintenance.connected_at = time.monotonic() - connected
    monkeypatch.setattr(maintenance, "_server_age", lambda: server_age)
    monkeypatch.setattr("workflows.worker.maintenance.scheduler", lambda broker: None)
    maintenance.do_round()
    assert (statuses(execution.pk) == ["ready"]) == is_reaped


@pytest.fixture
def expired(start: Start, worker: WorkerInfo, monkeypatch: pytest.MonkeyPatch) -> WorkflowExecution:
    """A job whose step has lost its lease, on a database server that has run for an hour."""
    execution = start(*side_by_side(1))
    expire(take(worker)[0].step_id)
    monkeypatch.setattr(Maintenance, "_server_age", lambda self: 3600)
    monkeypatch.setattr("workflows.worker.maintenance.scheduler", lambda broker: None)
    return execution


def test_one_maintenance_at_a_time_and_the_next_when_its_lease_has_run_out(expired: WorkflowExecution) -> None:
    first, second = Maintenance(), Maintenance()
    first.connected_at = 0.0
    first.do_round()
    second.do_round()
    assert statuses(expired.pk) == ["running"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_duties SET lease_until = clock_timestamp() - interval '1 second'")
    second.do_round()
    assert statuses(expired.pk) == ["ready"]
    assert WorkflowExecution.objects.get(pk=expired.pk).message_id is not None


def test_a_process_that_has_just_started_has_seen_no_outage(expired: WorkflowExecution) -> None:
    """If everything was killed, its steps begin again when their leases have run out, not a lease after the start."""
    Maintenance().do_round()
    assert statuses(expired.pk) == ["ready"]


def test_an_answer_that_took_very_long_is_an_outage(
    expired: WorkflowExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was frozen: nobody could renew."""
    maintenance = Maintenance()
    clock = iter([100.0, 100.0 + maintenance.lease / 2])
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: next(clock))
        maintenance.do_round()
    assert statuses(expired.pk) == ["running"]


def test_a_process_that_waited_for_the_duty_reaps_at_once(expired: WorkflowExecution) -> None:
    """If everything was killed, its steps continue after one lease, not after one for the duty and one for them."""
    killed, next_one = Maintenance(), Maintenance()
    killed.connected_at = 0.0
    killed.do_round()
    next_one.do_round()
    assert statuses(expired.pk) == ["running"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_duties SET lease_until = clock_timestamp() - interval '1 second'")
    next_one.do_round()
    assert statuses(expired.pk) == ["ready"]
