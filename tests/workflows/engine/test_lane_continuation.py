"""A lane continues with a step that depends on the finished one, in the statement that records the finished one."""

from dataclasses import replace
from uuid import UUID

import pytest

from tests.support.turns import turn
from tests.workflows.conftest import Start, chain, side_by_side, statuses
from tests.workflows.engine.test_verbs import actions, end, take
from workflows.engine import pause
from workflows.engine.claims import Claim
from workflows.engine.consistency import check
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import Demand, TurnResult, WorkerInfo
from workflows.errors import StepError
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db


def completed_with_lane(claim: Claim) -> Outcome:
    outcome = Outcome.completed(claim, 1)
    outcome.keeps = "async"
    return outcome


def record(worker: WorkerInfo, *outcomes: Outcome) -> TurnResult:
    result = turn(worker, outcomes, [])
    assert check() == []
    return result


def names(result: TurnResult) -> list[str]:
    return [claim.name for claim in result.claims]


def after(*parents: int, name: str = "child", tool: str = "") -> NewStep:
    return NewStep(name, tool=tool, arguments={} if tool else None, depends_on=list(parents))


def row(execution: UUID) -> WorkflowExecution:
    return WorkflowExecution.objects.get(pk=execution)


def test_the_next_step_is_claimed_on_the_same_lane_with_a_token_of_its_own(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    (first,) = take(worker)
    (second,) = record(worker, completed_with_lane(first)).claims
    step = WorkflowStep.objects.get(pk=second.step_id)
    assert (second.name, second.attempt, second.lane, second.owner) == ("s1", 1, first.lane, "alice")
    assert (step.status, step.token, step.worker, step.ready_at) == ("running", second.token, worker.id, None)
    assert second.token != first.token
    assert step.lease_until is not None
    assert actions(execution.pk)[-2:] == ["step.completed", "step.started"]
    told = row(execution.pk)
    assert (told.status, told.steps_running, told.steps_completed, told.steps_finished) == ("running", 1, 1, 1)


def test_without_a_lane_that_goes_on_it_is_ready_and_has_a_message(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    (first,) = take(worker)
    result = record(worker, Outcome.completed(first, 1))
    assert (names(result), result.woken) == ([], ["async"])
    assert statuses(execution.pk) == ["completed", "ready"]
    assert row(execution.pk).message_id is not None


@pytest.mark.parametrize("together", [True, False])
def test_the_last_of_two_parents_passes_its_lane_on(start: Start, worker: WorkerInfo, together: bool) -> None:
    execution = start(*side_by_side(2), after(0, 1))
    parents = take(worker) + take(worker)
    if together:
        result = record(worker, *map(completed_with_lane, parents))
    else:
        assert names(record(worker, completed_with_lane(parents[0]))) == []
        assert row(execution.pk).steps_running == 1
        result = record(worker, completed_with_lane(parents[1]))
    assert names(result) == ["child"]
    assert row(execution.pk).steps_running == 1
    assert row(execution.pk).steps_completed == 2


def test_of_several_children_one_gets_the_lane_and_the_others_a_message(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), *(after(0, name=f"c{i}") for i in range(3)))
    result = record(worker, completed_with_lane(*take(worker)))
    assert (names(result), result.woken) == (["c0"], ["async"])
    assert statuses(execution.pk) == ["completed", "running", "ready", "ready"]
    assert [claim.name for claim in take(worker) + take(worker)] == ["c1", "c2"]


def test_two_lanes_of_one_execution_pass_on_in_one_turn(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2), after(0, name="c0"), after(1, name="c1"), max_parallel=2)
    claims = take(worker) + take(worker)
    result = record(worker, *map(completed_with_lane, claims))
    assert sorted(names(result)) == ["c0", "c1"]
    assert {claim.lane for claim in result.claims} == {1, 2}
    assert row(execution.pk).steps_running == 2


def test_a_lane_without_a_child_takes_what_else_is_ready(start: Start, worker: WorkerInfo) -> None:
    start(*side_by_side(3), max_parallel=1)
    assert names(record(worker, completed_with_lane(*take(worker)))) == ["s1"]


def test_a_child_for_another_kind_of_slot_is_left_to_it(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), after(0, tool="PROBE_BLOCK"))
    result = record(worker, completed_with_lane(*take(worker)))
    assert (names(result), result.woken) == ([], ["thread"])
    assert row(execution.pk).next_slot == "thread"
    assert names(turn(worker, [], [Demand("thread", free=1)])) == ["child"]


def test_a_child_whose_tool_this_worker_lacks_is_left_to_others(
    start: Start, worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    start(*chain(1), after(0, tool="PROBE_SLEEP"))
    older = replace(worker, tools=("",))
    assert names(record(older, completed_with_lane(*take(older)))) == []
    assert [claim.name for claim in take(other_worker)] == ["child"]


def test_a_pause_begins_nothing(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    (first,) = take(worker)
    pause.pause(actor="alice")
    assert names(record(worker, completed_with_lane(first))) == []
    assert statuses(execution.pk) == ["completed", "ready"]
    pause.resume(actor="alice")
    assert [claim.name for claim in take(worker)] == ["s1"]


def test_a_failure_beside_it_is_settled_and_skips_what_is_behind(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2), after(0, name="c0"), after(1, name="c1"))
    first, second = take(worker) + take(worker)
    result = record(worker, completed_with_lane(first), Outcome.failed(second, StepError("no", retryable=False)))
    assert names(result) == ["c0"]
    assert statuses(execution.pk) == ["completed", "failed", "running", "skipped"]
    told = row(execution.pk)
    assert (told.steps_running, told.steps_completed, told.steps_failed, told.steps_finished) == (1, 1, 1, 3)


def test_an_outcome_that_is_refused_passes_nothing_on(
    start: Start, worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    execution = start(*chain(2))
    (first,) = take(worker)
    WorkflowStep.objects.filter(pk=first.step_id).update(token=other_worker.id)
    result = record(worker, completed_with_lane(first))
    assert (names(result), len(result.refused)) == ([], 1)
    assert statuses(execution.pk) == ["running", "pending"]


def test_the_last_step_ends_the_job(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    result = record(worker, completed_with_lane(*take(worker)))
    assert end(worker, result.claims[0], go_on=True).claims == []
    assert row(execution.pk).status == "completed"
    assert actions(execution.pk)[-1] == "job.completed"
    assert check() == []


def test_a_message_that_is_left_for_another_kind_of_slot_is_sent_anew(start: Start, worker: WorkerInfo) -> None:
    """A worker with that kind of slot does not look for messages from before its last look."""
    execution = start(*side_by_side(2), NewStep("other", tool="PROBE_BLOCK", arguments={}), max_parallel=2)
    (first,) = take(worker)
    sent = row(execution.pk).wake_at
    assert row(execution.pk).next_slot == "async"
    result = record(worker, completed_with_lane(first))
    told = row(execution.pk)
    assert (names(result), result.woken, told.next_slot) == (["s1"], ["thread"], "thread")
    assert sent is not None
    assert told.wake_at is not None
    assert told.wake_at > sent
