"""Which jobs get the slots: queues, first lanes, newcomers, pauses, cool-downs."""

import time

import pytest
from django.contrib.auth.models import User

from aiworkstation.audit.models import AuditEvent
from tests.support.turns import turn
from tests.workflows.conftest import Start, chain, side_by_side
from tests.workflows.engine.test_verbs import end, expire, take
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.engine.pause import pause, resume
from workflows.engine.retry_policy import ALONE_AFTER
from workflows.engine.turn import Demand, WorkerInfo
from workflows.errors import TryLater
from workflows.models import Cooldown, WorkflowExecution
from workflows.network import cooldowns
from workflows.steps import NewExecution, NewStep
from workflows.worker.capacity import Capacity, SlotSizes


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


def start_for(user: User, *steps: NewStep) -> WorkflowExecution:
    new = NewExecution(user.pk, "workflow", "test", list(steps))
    return WorkflowExecution.objects.get(pk=engine.start(new, actor=user.username))


def take_newcomers(worker: WorkerInfo, slots: int = 2) -> list[Claim]:
    return turn(worker, [], [Demand("async", newcomers=slots)]).claims


def test_first_lanes_go_before_further_lanes(start: Start, worker: WorkerInfo) -> None:
    bulk = start(*side_by_side(5))
    take(worker)
    small = start(*chain(1))
    assert [take(worker)[0].execution_id for _ in range(2)] == [small.pk, bulk.pk]


def test_newcomers_are_users_without_running_steps(start: Start, worker: WorkerInfo, bob: User) -> None:
    start(*side_by_side(5))
    take(worker)
    start(*chain(1))
    assert take_newcomers(worker) == []
    first, second = start_for(bob, *chain(1)), start_for(bob, *chain(1))
    (claim,) = take_newcomers(worker)
    assert claim.execution_id == first.pk
    assert take_newcomers(worker) == []
    end(worker, claim)
    assert [claim.execution_id for claim in take_newcomers(worker)] == [second.pk]


def test_newcomers_are_served_in_the_order_of_their_waiting(start: Start, worker: WorkerInfo, bob: User) -> None:
    """Not in the order of their ids: a user with a low id could get the only slot again and again."""
    carol = User.objects.create_user("carol")
    start(*side_by_side(1))
    take(worker)
    first, second = start_for(carol, *chain(1)), start_for(bob, *chain(1))
    (claim,) = take_newcomers(worker, slots=1)
    assert claim.execution_id == first.pk
    (claim,) = take_newcomers(worker, slots=1)
    assert claim.execution_id == second.pk


def test_steps_that_have_seen_crashes_are_claimed_for_slots_of_their_own(
    start: Start, worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    """A worker takes no more of them than it can run. Another worker may take the rest."""
    execution = start(*side_by_side(3))
    for _ in range(ALONE_AFTER):
        for claim in [*take(worker), *take(worker), *take(worker)]:
            expire(claim.step_id)
        engine.reap()
    execution.refresh_from_db()
    assert execution.next_slot == "alone"
    assert take(worker) == []
    assert len(take(worker, slot="alone") + take(worker, slot="alone")) == 2
    (claim,) = take(other_worker, slot="alone")
    assert claim.crashes == ALONE_AFTER
    assert Capacity(SlotSizes()).pool_for(claim).kind == "alone"


def test_a_pause_begins_nothing_and_lets_running_steps_end(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    (claim,) = take(worker)
    assert pause(actor="alice", reason="a deploy")
    assert not pause(actor="alice")
    assert end(worker, claim, go_on=True).claims == []
    assert take(worker) == []
    assert take_newcomers(worker) == []
    assert resume(actor="alice")
    assert not resume(actor="alice")
    assert len(take(worker)) == 1
    execution.refresh_from_db()
    assert execution.status == "running"
    assert list(AuditEvent.objects.filter(object="work:all").order_by("id").values_list("action", flat=True)) == [
        "work.paused",
        "work.resumed",
    ]


def test_a_cool_down_reaches_all_workers(start: Start, worker: WorkerInfo) -> None:
    start(*chain(1))
    (claim,) = take(worker)
    busy = TryLater("busy", delay=30, cooldown="model:http://x:m")
    turn(worker, [Outcome.waiting(claim, busy, busy.delay)], [])
    assert Cooldown.objects.get().key == "model:http://x:m"
    cooldowns.start({"model:http://y:m": 0.05})
    with pytest.raises(TryLater) as raised:
        cooldowns.check("model:http://y:m")
    assert raised.value.cooldown == ""
    time.sleep(0.06)
    cooldowns.check("model:http://y:m")


def test_a_shorter_cool_down_does_not_end_a_longer_one(start: Start, worker: WorkerInfo) -> None:
    start(*side_by_side(2))
    left = []
    for claim, seconds in zip((*take(worker), *take(worker)), (600.0, 5.0), strict=True):
        busy = TryLater("busy", delay=seconds, cooldown="model:x")
        turn(worker, [Outcome.waiting(claim, busy, busy.delay)], [])
        left.append(Cooldown.objects.get().until)
    assert left[0] == left[1]


def test_a_cool_down_is_never_shorter_than_the_back_off(start: Start, worker: WorkerInfo) -> None:
    start(*chain(1))
    (claim,) = take(worker)
    busy = TryLater("busy", delay=0.0, cooldown="model:x")
    assert (Outcome.waiting(claim, busy, busy.delay).delay or 0) >= 0.75
    later = TryLater("the process stood still", delay=0.0)
    assert (Outcome.waiting(claim, later, later.delay).delay or 0) == 0.1


def test_a_long_key_fits_the_table() -> None:
    keys = {cooldowns.key_for("model", "http://x/v1", "m" * 500 + str(number)) for number in range(2)}
    assert len(keys) == 2
    assert {len(key) for key in keys} == {cooldowns.MAX_KEY}
