"""Django's task framework on the engine."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from tests.support.runner import work
from tests.workflows import task_functions as tasks
from workflows import engine
from workflows.models import WorkflowExecution

if TYPE_CHECKING or django.VERSION < (6,):
    from django_tasks import TaskResult, TaskResultStatus, task_backends
    from django_tasks.exceptions import InvalidTaskError, TaskResultDoesNotExist
    from django_tasks.signals import task_enqueued, task_finished, task_started
else:
    from django.tasks import TaskResult, TaskResultStatus, task_backends
    from django.tasks.exceptions import InvalidTask as InvalidTaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    tasks.calls.clear()


def run(result: "TaskResult[Any]") -> "TaskResult[Any]":
    work(WorkflowExecution.objects.get(pk=result.id))
    result.refresh()
    return result


def test_it_works() -> None:
    result = tasks.add.enqueue(2, b=3)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, [2], {"b": 3})
    run(result)
    assert (result.status, result.return_value, result.errors) == (TaskResultStatus.SUCCESSFUL, 5, [])
    assert result.is_finished
    assert result.attempts == 1
    assert result.enqueued_at is not None
    assert result.started_at is not None
    assert result.finished_at is not None
    assert result.enqueued_at <= result.started_at <= result.finished_at
    job = WorkflowExecution.objects.select_related("owner").get()
    assert (job.job_type, job.name, job.owner.username) == (
        "django-task",
        "tests.workflows.task_functions.add",
        "tasks",
    )
    assert job.steps.get().max_attempts == 1


def test_asynchronous_functions_and_calls() -> None:
    result = async_to_sync(tasks.add_slowly.aenqueue)(1, 2)
    run(result)
    returned: Any = result.return_value
    assert returned == {"sum": 3, "users": 1}
    again = async_to_sync(tasks.add_slowly.aget_result)(result.id)
    assert again.return_value == result.return_value


def test_functions_use_the_database() -> None:
    assert run(tasks.count_users.enqueue()).return_value == 1


def test_context() -> None:
    result = run(tasks.tell.enqueue("hello"))
    assert result.return_value == {"word": "hello", "attempt": 1, "id": result.id}


def test_a_failure() -> None:
    result = run(tasks.break_down.enqueue("it broke"))
    assert result.status == TaskResultStatus.FAILED
    (error,) = result.errors
    assert error.exception_class is ValueError
    assert "raise ValueError(word)" in error.traceback
    assert error.traceback.endswith("ValueError: it broke\n")
    assert tasks.calls == ["it broke"], "one attempt unless asked"
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018


def test_a_failure_of_an_asynchronous_function() -> None:
    result = run(tasks.break_down_slowly.enqueue())
    assert [error.exception_class for error in result.errors] == [KeyError]


def test_more_attempts(charlie: User) -> None:
    result = run(tasks.break_down_thrice.enqueue("again"))
    assert tasks.calls == ["again"] * 3
    assert (result.status, result.attempts, len(result.errors)) == (TaskResultStatus.FAILED, 3, 3)
    assert WorkflowExecution.objects.get().owner == charlie


def test_a_wait_is_not_an_attempt() -> None:
    assert run(tasks.is_busy_once.enqueue()).return_value == "done"


def test_in_the_callers_transaction() -> None:
    with transaction.atomic():
        tasks.add.enqueue(1, 2)
        transaction.set_rollback(True)
    assert not WorkflowExecution.objects.exists()


def test_run_after_and_priority() -> None:
    later = timezone.now() + timedelta(hours=1)
    result = tasks.add.using(run_after=later, priority=10).enqueue(1, 2)
    job = WorkflowExecution.objects.get(pk=result.id)
    assert (job.queue, job.status) == ("high", "waiting")
    assert job.wake_at is not None
    assert abs(job.wake_at - later) < timedelta(seconds=2)
    assert tasks.add.get_result(result.id).status == TaskResultStatus.READY
    assert tasks.add.get_result(result.id).task.priority == 10
    queues = [
        WorkflowExecution.objects.get(pk=tasks.add.using(priority=priority).enqueue(1, 2).id).queue
        for priority in (-1, 0, 100)
    ]
    assert queues == ["low", "normal", "high"]


def test_a_time_in_the_past_is_now() -> None:
    result = tasks.add.using(run_after=timezone.now() - timedelta(hours=1)).enqueue(1, 2)
    assert run(result).return_value == 3


def test_a_cancelled_job() -> None:
    result = tasks.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1, 2)
    engine.cancel(WorkflowExecution.objects.get().pk, actor="alice")
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].traceback == "The job was cancelled."


@pytest.mark.parametrize("id", ["", "nothing", "01a22a69-cb0d-71ad-a27f-982bdd158dc6"])
def test_an_unknown_result(id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(id)


def test_a_result_of_another_backend() -> None:
    result = tasks.add.enqueue(1, 2)
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["patient"].get_result(result.id)


def test_a_result_that_is_not_json() -> None:
    with pytest.raises(TypeError):
        tasks.add.enqueue(cast(int, object()), 2)
    assert not WorkflowExecution.objects.exists()
    result = run(tasks.return_what_is_no_json.enqueue())
    assert result.status == TaskResultStatus.FAILED
    assert "not JSON" in result.errors[0].traceback


def test_only_tasks_are_run() -> None:
    """A job's row names a function. Write access to rows must not be enough to run any function."""
    result = tasks.add.enqueue(1, 2)
    job = WorkflowExecution.objects.get()
    step = job.steps.get()
    step.arguments = {**(step.arguments or {}), "path": "tests.workflows.task_functions.not_a_task"}
    step.save(update_fields=["arguments"])
    work(job)
    assert (job.status, tasks.calls) == ("failed", [])
    assert "is not a task" in str(job.steps.get().error)
    assert result.id == str(job.pk)


def test_validation() -> None:
    with pytest.raises(InvalidTaskError):
        tasks.add.using(priority=101)
    with pytest.raises(InvalidTaskError):
        tasks.break_down_thrice.using(queue_name="other")
    assert tasks.add.using(queue_name="other").enqueue(1, 2).task.queue_name == "other"


def test_signals() -> None:
    seen: list[tuple[str, str]] = []
    receivers = {
        name: lambda sender, task_result, name=name, **_: seen.append((name, task_result.status))
        for name in ("enqueued", "started", "finished")
    }
    signals = {"enqueued": task_enqueued, "started": task_started, "finished": task_finished}
    for name, signal in signals.items():
        signal.connect(receivers[name])
    try:
        run(tasks.add.enqueue(1, 2))
        run(tasks.break_down.enqueue("x"))
    finally:
        for name, signal in signals.items():
            signal.disconnect(receivers[name])
    expected = [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]
    assert seen == [*expected, *expected[:2], ("finished", "FAILED")]
