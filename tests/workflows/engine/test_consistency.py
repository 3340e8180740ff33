"""`check_engine`: sound rows are sound, and every contradiction that is planted is named."""

from collections.abc import Callable, Sequence

import pytest
from django.db import connection

from tests.support.turns import turn
from tests.workflows.conftest import Start, chain, side_by_side
from tests.workflows.engine.test_verbs import end, fail_for_good, take
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.consistency import RULES, check
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import WorkerInfo
from workflows.errors import StepError, TryLater
from workflows.models import WorkflowExecution
from workflows.steps import NewStep

Act = Callable[[WorkerInfo, WorkflowExecution], object]
State = Callable[[Start, WorkerInfo], None]


def state(name: str, *acts: Act, steps: Sequence[NewStep] | None = None, **options: object) -> State:
    """What brings a job into a state: its steps (by default two, one after the other), its options, and some acts."""

    def reach(start: Start, worker: WorkerInfo) -> None:
        execution = start(*(steps or chain(2)), **options)
        for act in acts:
            act(worker, execution)

    reach.__name__ = name
    return reach


def claim(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    take(worker)


def complete(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    end(worker, take(worker)[0])


def fail(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    fail_for_good(worker, take(worker)[0])


def ends_as(outcome: Callable[[Claim], Outcome]) -> Act:
    return lambda worker, execution: turn(worker, [outcome(take(worker)[0])], [])


def cancel_job(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    engine.cancel(execution.pk, actor="alice")


def fail_job(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    engine.fail(execution.pk, {"code": "x", "message": "x", "retryable": False}, actor="outside")


def retry_job(worker: WorkerInfo, execution: WorkflowExecution) -> None:
    engine.retry(execution.pk, actor="alice")


queued = state("queued")
delayed = state("delayed", delay=600)
running = state("running", claim)
between = state("between", complete)  # the second step is ready
half_running = state("half_running", claim, steps=side_by_side(3), max_parallel=2)
retrying = state("retrying", ends_as(lambda claim: Outcome.of_error(claim, StepError("again"))))
busy = state("busy", ends_as(lambda claim: Outcome.of_error(claim, TryLater("busy", delay=60))))
outside = state("outside", ends_as(lambda claim: Outcome.handed_over(claim, silence=60)))
completed = state("completed", complete, complete)
failed = state("failed", fail)
with_errors = state("with_errors", complete, fail, steps=side_by_side(2), tolerates_failures=True)
cancelled = state("cancelled", claim, cancel_job)
failed_from_outside = state("failed_from_outside", claim, fail_job)
retried = state("retried", fail, retry_job)
STATES: list[State] = [
    *(queued, delayed, running, between, half_running, retrying, busy, outside),
    *(completed, failed, with_errors, cancelled, failed_from_outside, retried),
]
JOB, STEP = "UPDATE workflow_executions SET ", "UPDATE workflow_steps SET "
OPEN_LEASE = "ALTER TABLE workflow_steps DROP CONSTRAINT step_running_is_leased; "
ONE_FAILED = "a failed job has a failed step, or an error of its own and a step that it stopped"
WITH_ERRORS = "a job is completed_with_errors if it tolerates failures, and some steps failed and others completed"
LEASED = "a running step has a lease, a claim token, a worker and a lane of its job"
WAITS = "a waiting step waits for a time, with its reason, or for an outside answer"
ATTEMPTS = "a step that has begun has the number of its attempt in its round, within its attempts"
ROUNDS = "a step's rounds agree with the attempts of earlier rounds"
DEPENDENCIES = "a step's dependencies are steps of its job, and list it as their dependent"
MESSAGE = "a job's message is in the queue, under the key of the job's queue"
WAKES = "a job with a message wakes no later than its message and its next step"
NEXT = "a job with a message names the tool and the slot of its next step"
COUNTERS = "a job's counters agree with its steps"
JOB_END = "a job has the time of its end if, and only if, it is finished"
STEP_END = "a step has the time of its end if, and only if, it is over"
CONTRADICTIONS: list[tuple[str, State, str]] = [
    *(
        ("a finished job has no open step", state, f"{STEP}status = '{status}', finished_at = NULL")
        for state in (completed, failed, with_errors, cancelled, failed_from_outside)
        for status in ("ready", "pending", "waiting")
    ),
    ("an unfinished job has a leased step, a message, or waits for an outside answer", queued,
     "DELETE FROM django_q_ormq"),
    ("a finished job has no open step", running, f"{JOB}status = 'failed', finished_at = now()"),
    ("a ready step has the time from which it may be claimed", queued, f"{STEP}ready_at = NULL"),
    (WAITS, retrying, f"{STEP}ready_at = NULL WHERE index = 0"),
    (WAITS, busy, f"{STEP}error = NULL WHERE index = 0"),
    (WAITS, outside, f"{STEP}answer_by = NULL WHERE index = 0"),
    ("only a ready or waiting step may be claimed", completed, f"{STEP}ready_at = now()"),
    ("only a ready or waiting step may be claimed", running, f"{STEP}ready_at = now()"),
    (LEASED, running, f"{OPEN_LEASE}{STEP}lease_until = NULL"),
    (LEASED, running, f"{OPEN_LEASE}{STEP}token = NULL"),
    (LEASED, running, f"{OPEN_LEASE}{STEP}worker = NULL"),
    (LEASED, running, f"{STEP}lane = 6 WHERE index = 0"),
    ("only a running step has a lease and a lane", queued, f"{STEP}lease_until = now()"),
    ("only a running step has a lease and a lane", completed, f"{STEP}lane = 1"),
    ("a lease that ran out is reaped within minutes (does maintenance run?)", running,
     f"{STEP}lease_until = now() - interval '6 minutes' WHERE index = 0"),
    ("a lease ends within LEASE_SECONDS", running, f"{STEP}lease_until = now() + interval '1 day' WHERE index = 0"),
    ("a wait for an outside answer ends within minutes of its deadline (does maintenance run?)", outside,
     f"{STEP}answer_by = now() - interval '6 minutes' WHERE index = 0"),
    (STEP_END, completed, f"{STEP}finished_at = NULL WHERE index = 0"),
    (STEP_END, queued, f"{STEP}finished_at = now() WHERE index = 0"),
    ("a completed step has no error, and its progress is 100", completed, f"{STEP}progress = 90"),
    ("a completed step has no error, and its progress is 100", completed, f"{STEP}error = '{{}}'"),
    ("a failed or skipped step has an error", failed, f"{STEP}error = NULL WHERE index = 0"),
    ("a failed or skipped step has an error", failed, f"{STEP}error = NULL WHERE index = 1"),
    ("a step's progress is between 0 and 100", running, f"{STEP}progress = 101"),
    (ATTEMPTS, running, f"{STEP}attempt = 0"),
    (ATTEMPTS, running, f"{STEP}attempt = 4"),
    (ATTEMPTS, completed, f"{STEP}attempt = 0"),
    (ATTEMPTS, retried, f"{STEP}attempt = 0"),
    (ROUNDS, queued, f"{STEP}round = 2"),
    (ROUNDS, retried, f"{STEP}round = 1"),
    (DEPENDENCIES, queued, f"{STEP}depends_on = '{{7}}' WHERE index = 1"),
    (DEPENDENCIES, queued, f"{STEP}dependents = '{{}}' WHERE index = 0"),
    (DEPENDENCIES, queued, f"{STEP}dependents = '{{0}}' WHERE index = 1"),
    ("a pending step counts the dependencies that are not completed", queued,
     f"{STEP}missing_dependencies = 5 WHERE index = 1"),
    ("a pending step depends on a step that may still complete", queued,
     f"{STEP}missing_dependencies = 0 WHERE index = 1"),
    ("a pending step depends on a step that may still complete", failed,
     f"{STEP}status = 'pending', finished_at = NULL, error = NULL WHERE index = 1"),
    ("a step begins when all its dependencies are completed", queued, f"{STEP}status = 'ready', ready_at = now()"),
    ("a step begins when all its dependencies are completed", completed, f"{STEP}status = 'failed' WHERE index = 0"),
    ("only a completed step has the output of another job's step", failed,
     f"{STEP}copied_from = id WHERE index = 0"),
    ("a step is skipped because a dependency failed, was skipped or was cancelled", failed,
     f"{STEP}status = 'completed', error = NULL, progress = 100 WHERE index = 0"),
    *((COUNTERS, running, f"{JOB}{counter} = 3")
      for counter in ("steps_total", "steps_running", "steps_completed", "steps_failed", "steps_finished")),
    (COUNTERS, between, f"{STEP}status = 'ready', ready_at = now(), finished_at = NULL WHERE index = 0"),
    (COUNTERS, queued, f"{STEP}index = 9 WHERE index = 1"),
    (JOB_END, completed, f"{JOB}finished_at = NULL"),
    (JOB_END, running, f"{JOB}finished_at = now()"),
    ("an unfinished job has an open step", completed, f"{JOB}status = 'running', finished_at = NULL"),
    ("a queued job has not started", running, f"{JOB}status = 'queued'"),
    ("a queued job has not started", between, f"{JOB}status = 'queued'"),
    ("a running job has started, and a step that runs or is due", retrying, f"{JOB}status = 'running'"),
    ("a running job has started, and a step that runs or is due", outside, f"{JOB}status = 'running'"),
    ("a running job has started, and a step that runs or is due", running, f"{JOB}started_at = NULL"),
    ("a waiting job runs no step, and has one that waits", running, f"{JOB}status = 'waiting'"),
    ("a waiting job runs no step, and has one that waits", busy, f"{STEP}ready_at = NULL"),
    *(("all steps of a completed job are completed", state, f"{JOB}status = 'completed', error = NULL")
      for state in (failed, with_errors, cancelled, failed_from_outside)),
    (WITH_ERRORS, failed, f"{JOB}status = 'completed_with_errors'"),
    (WITH_ERRORS, completed, f"{JOB}status = 'completed_with_errors', tolerates_failures = true"),
    (ONE_FAILED, completed, f"{JOB}status = 'failed'"),
    (ONE_FAILED, with_errors, f"{JOB}status = 'failed'"),
    (ONE_FAILED, cancelled, f"{JOB}status = 'failed'"),
    (ONE_FAILED, failed, f"{JOB}error = '{{}}'"),
    ("a cancelled job has a cancelled step", completed, f"{JOB}status = 'cancelled'"),
    ("only a failed or cancelled job has an error", completed, f"{JOB}error = '{{}}'"),
    ("only a failed or cancelled job has an error", running, f"{JOB}error = '{{}}'"),
    ("an unfinished job with a claimable step and a free lane has a message", half_running,
     f"{JOB}message_id = NULL, wake_at = NULL"),
    ("only an unfinished job has a message", completed, f"{JOB}message_id = 7"),
    ("only an unfinished job has a message", completed, f"{JOB}wake_at = now()"),
    (MESSAGE, half_running, "DELETE FROM django_q_ormq"),
    (MESSAGE, queued, "UPDATE django_q_ormq SET key = 'low'"),
    (MESSAGE, queued, "UPDATE django_q_ormq SET key = 'jobs-high'"),
    (WAKES, queued, f"{JOB}wake_at = NULL"),
    (WAKES, queued, f"{JOB}wake_at = now() + interval '1 day'"),
    (WAKES, delayed, f"{JOB}wake_at = now() + interval '1 day'"),
    (WAKES, queued, "UPDATE django_q_ormq SET lock = now() - interval '1 day'"),
    (NEXT, queued, f"{JOB}next_slot = 'thread'"),
    (NEXT, queued, f"{JOB}next_tool = 'OTHER'"),
    (NEXT, queued, f"{JOB}next_slot = NULL"),
    (NEXT, half_running, f"{STEP}crashes = 2 WHERE status = 'ready'"),
    ("a worker can run every tool on its machine", queued,
     "INSERT INTO workflow_workers (id, kind, host, pid, version, slots, busy, draining, lacks) "
     "VALUES (gen_random_uuid(), 'runner', 'here', 1, '', 1, 0, false, '{\"DOCUMENT_INGEST\": \"no files\"}')"),
    ("a message in a queue of jobs belongs to a job", queued, f"{JOB}message_id = NULL, wake_at = NULL"),
]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_jobs_in_every_state_are_sound(start: Start, worker: WorkerInfo, state: State) -> None:
    state(start, worker)
    assert check() == []


@pytest.mark.parametrize(("rule", "state", "sql"), CONTRADICTIONS)
def test_a_contradiction_is_named(start: Start, worker: WorkerInfo, rule: str, state: State, sql: str) -> None:
    state(start, worker)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql)
    assert rule in {finding.rule for finding in check()}


def test_every_rule_has_a_contradiction() -> None:
    rules_of_documents = {rule for rule in RULES if "document" in rule}
    assert set(RULES) - rules_of_documents == {rule for rule, _, _ in CONTRADICTIONS}
