"""The verbs for finished jobs, and the change of priority: every verb in every state."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django_q.models import OrmQ

from aiworkstation.audit.models import AuditEvent
from jobs.models import IdempotencyKey
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.engine.consistency import check
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, Queue, WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

Verb = Callable[[WorkflowExecution], object]


@pytest.fixture(autouse=True)
def sound(db: None) -> Iterator[None]:
    yield
    assert check() == []


def job_of(user: User, *steps: NewStep, **options: Any) -> WorkflowExecution:
    new = NewExecution(user.pk, "workflow", "test", list(steps), **options)
    return WorkflowExecution.objects.get(pk=engine.start(new, actor="alice"))


def in_state(user: User, status: str) -> WorkflowExecution:
    job = job_of(user, NewStep("One"), NewStep("Two"), tolerates_failures=status == "completed_with_errors")
    if status != "queued":
        (first,) = claim(job.pk)
    if status == "waiting":
        engine.cancel(job.pk, actor="alice")
        job = job_of(user, NewStep("One"), NewStep("Two"), delay=3600)
    elif status == "completed":
        complete(first, "one")
        complete_all(job, "two")
    elif status in ("failed", "completed_with_errors"):
        fail(first)
        complete_all(job, "two") if status == "completed_with_errors" else fail(claim(job.pk)[0])
    elif status == "cancelled":
        engine.cancel(job.pk, actor="alice")
    job.refresh_from_db()
    assert job.status == status
    return job


def state() -> list[object]:
    rows = [list(model.objects.order_by("pk").values()) for model in (WorkflowExecution, WorkflowStep, AuditEvent)]
    return [*rows, list(OrmQ.objects.order_by("pk").values())]


def statuses(job: WorkflowExecution) -> list[str]:
    job.refresh_from_db()
    return list(job.steps.order_by("index").values_list("status", flat=True))


def step(job: WorkflowExecution, index: int) -> UUID:
    return WorkflowStep.objects.get(execution=job, index=index).pk


def again(user: User, job: WorkflowExecution, *reused: int) -> UUID | None:
    steps = [NewStep(each.name, depends_on=each.depends_on) for each in job.steps.order_by("index")]
    new = NewExecution(user.pk, "workflow", "again", steps)
    return engine.rerun(job.pk, new, {index: step(job, index) for index in reused}, reused={"steps": 0}, actor="bob")


def rerun(user: User, job: WorkflowExecution, *reused: int) -> WorkflowExecution:
    key = again(user, job, *reused)
    assert key is not None
    return WorkflowExecution.objects.get(pk=key)


VERBS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "retry": (
        lambda job: engine.retry(job.pk, actor="bob"),
        ("failed", "cancelled", "completed_with_errors"),
    ),
    "retry_step": (
        lambda job: any(engine.retry_step(job.pk, each.pk, actor="bob") for each in job.steps.all()),
        ("failed", "cancelled", "completed_with_errors"),
    ),
    "delete": (lambda job: engine.delete(job.pk, actor="bob"), FINISHED_EXECUTION),
    "rerun": (lambda job: again(job.owner, job) is not None, FINISHED_EXECUTION),
    "prioritize": (
        lambda job: engine.prioritize(job.pk, Queue.HIGH, actor="bob"),
        ("queued", "running", "waiting"),
    ),
    "cancel": (lambda job: engine.cancel(job.pk, actor="bob"), ("queued", "running", "waiting")),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", ExecutionStatus.values)
def test_every_verb_in_every_state(alice: User, status: str, verb: str) -> None:
    job = in_state(alice, status)
    before = state()
    act, allowed = VERBS[verb]
    assert act(job) is (status in allowed)
    assert (state() == before) is (status not in allowed), "a refused verb changes nothing, and another one does"


@pytest.mark.parametrize("verb", ["retry_step", "delete", "rerun", "prioritize"])
def test_a_job_that_does_not_exist(alice: User, verb: str) -> None:
    job = in_state(alice, "failed")
    gone = WorkflowExecution(pk=uuid4(), owner=alice)
    if verb == "retry_step":
        assert not engine.retry_step(gone.pk, step(job, 0), actor="bob")
    else:
        assert VERBS[verb][0](gone) is False


class TestRetryStep:
    def test_it_runs_the_step_and_those_after_it(self, alice: User) -> None:
        chain = [NewStep("a"), NewStep("b", depends_on=[0]), NewStep("c", depends_on=[1]), NewStep("other")]
        job = job_of(alice, *chain)
        for claimed in claim(job.pk, 2):
            fail(claimed)
        assert statuses(job) == ["failed", "skipped", "skipped", "failed"]
        assert engine.retry_step(job.pk, step(job, 0), actor="bob")
        assert statuses(job) == ["ready", "pending", "pending", "failed"]
        assert job.status == "queued"
        complete_all(job, "done")
        assert statuses(job) == ["completed", "completed", "completed", "failed"]
        assert job.status == "failed"
        assert engine.retry_step(job.pk, step(job, 3), actor="bob")
        complete_all(job, "done")
        job.refresh_from_db()
        assert job.status == "completed"
        retried = AuditEvent.objects.filter(execution_id=job.pk, action="step.retried", actor="bob")
        assert retried.count() == 4

    def test_it_runs_the_steps_that_the_step_needs(self, alice: User) -> None:
        job = job_of(alice, NewStep("a"), NewStep("b", depends_on=[0]), NewStep("c", depends_on=[0]))
        fail(claim(job.pk)[0])
        assert engine.retry_step(job.pk, step(job, 2), actor="bob")
        assert statuses(job) == ["ready", "pending", "pending"]
        complete_all(job, "done")
        job.refresh_from_db()
        assert job.status == "completed"

    def test_a_step_that_also_needs_another_failed_step_stays(self, alice: User) -> None:
        job = job_of(
            alice, NewStep("a"), NewStep("b"), NewStep("both", depends_on=[0, 1]), NewStep("x", depends_on=[2])
        )
        for claimed in claim(job.pk, 2):
            fail(claimed)
        assert engine.retry_step(job.pk, step(job, 0), actor="bob")
        assert statuses(job) == ["ready", "failed", "skipped", "skipped"]
        complete_all(job, "done")
        assert statuses(job) == ["completed", "failed", "skipped", "skipped"]
        assert engine.retry_step(job.pk, step(job, 3), actor="bob")
        assert statuses(job) == ["completed", "ready", "pending", "pending"]

    def test_a_step_of_a_cancelled_job(self, alice: User) -> None:
        job = job_of(alice, NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
        claim(job.pk)
        engine.cancel(job.pk, actor="alice")
        assert engine.retry_step(job.pk, step(job, 0), actor="bob")
        assert statuses(job) == ["ready", "cancelled", "cancelled"]
        complete_all(job, "done")
        assert statuses(job) == ["completed", "cancelled", "cancelled"]
        assert job.status == "cancelled"

    def test_a_step_of_another_job_and_a_completed_step(self, alice: User) -> None:
        job = job_of(alice, NewStep("a"), NewStep("b"))
        first, second = claim(job.pk, 2)
        complete(first)
        fail(second)
        other = in_state(alice, "failed")
        before = state()
        assert not engine.retry_step(job.pk, first.step_id, actor="bob")
        assert not engine.retry_step(job.pk, step(other, 0), actor="bob")
        assert state() == before

    def test_a_failed_job_that_tolerates_failures(self, alice: User) -> None:
        job = in_state(alice, "completed_with_errors")
        assert engine.retry_step(job.pk, step(job, 0), actor="bob")
        complete_all(job, "done")
        job.refresh_from_db()
        assert job.status == "completed"


class TestDelete:
    def test_only_its_events_stay(self, alice: User) -> None:
        job = start_job(alice, idempotencyKey="k")
        complete_all(job, "done")
        assert engine.delete(job.pk, actor="bob")
        assert not WorkflowExecution.objects.exists()
        assert not WorkflowStep.objects.exists()
        assert not IdempotencyKey.objects.exists()
        actions = list(AuditEvent.objects.filter(execution_id=job.pk).order_by("pk").values_list("action", flat=True))
        assert actions[0] == "job.queued"
        assert actions[-2:] == ["job.completed", "job.deleted"]
        event = AuditEvent.objects.get(action="job.deleted")
        assert (event.actor, event.object) == ("bob", f"job:{job.pk}")
        assert event.changes == {"name": "Two steps", "status": "completed", "jobType": "workflow"}


class TestPrioritize:
    def test_it_moves_the_message(self, alice: User) -> None:
        job = start_job(alice)
        assert engine.prioritize(job.pk, Queue.HIGH, actor="bob")
        job.refresh_from_db()
        assert job.queue == "high"
        assert OrmQ.objects.get(pk=job.message_id).key == "jobs-high"
        assert AuditEvent.objects.get(action="job.prioritized").changes == {"priority": "high"}
        complete_all(job, "done")


class TestRerun:
    def test_it_takes_over_outputs(self, alice: User) -> None:
        job = job_of(alice, NewStep("a"), NewStep("b", depends_on=[0]), NewStep("c", depends_on=[1]))
        usage = {"inputTokens": 5, "outputTokens": 7, "costUsd": "0.1"}
        complete(claim(job.pk)[0], {"text": "one"}, model="gpt-4o", usage=usage)
        complete_all(job, "rest")
        new = rerun(alice, job, 0, 1)
        assert statuses(new) == ["completed", "completed", "ready"]
        assert (new.status, new.steps_completed, new.rerun_of) == ("queued", 2, job.pk)
        first = new.steps.get(index=0)
        assert (first.output, first.model, first.usage, first.attempt) == ({"text": "one"}, "gpt-4o", None, 0)
        assert first.copied_from == step(job, 0)
        (claimed,) = claim(new.pk)
        assert claimed.name == "c"
        complete(claimed, "new end")
        new.refresh_from_db()
        assert new.status == "completed"
        assert [event.changes for event in AuditEvent.objects.filter(action="job.rerun")] == [{"jobId": str(new.pk)}]

    def test_a_rerun_of_a_rerun_names_the_first_step(self, alice: User) -> None:
        job = in_state(alice, "completed")
        second = rerun(alice, job, 0)
        complete_all(second, "two")
        third = rerun(alice, second, 0)
        assert third.steps.get(index=0).copied_from == step(job, 0)
        assert third.rerun_of == second.pk

    def test_a_retry_leaves_the_outputs_that_were_taken_over(self, alice: User) -> None:
        job = job_of(alice, NewStep("a"), NewStep("b", depends_on=[0]))
        complete_all(job, "x")
        new = rerun(alice, job, 0)
        fail(claim(new.pk)[0])
        engine.retry(new.pk, actor="alice")
        assert statuses(new) == ["completed", "ready"]

    def test_outputs_that_cannot_be_taken_over_start_nothing(self, alice: User) -> None:
        job = in_state(alice, "failed")
        before = state()
        with pytest.raises(ValueError, match="completed steps"):
            again(alice, job, 0)
        done = in_state(alice, "completed")
        before = state()
        with pytest.raises(ValueError, match="at least one"):
            again(alice, done, 0, 1)
        assert state() == before
