"""Django's task framework on this engine: `TASKS = {"default": {"BACKEND": "workflows.django_tasks.Backend"}}`.

A task is a job of one step. Django 6 has the framework built in. For older versions, the package django-tasks provides
it.
"""

from __future__ import annotations  # the classes of Django 6 take no parameters at run time

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception
from typing import TYPE_CHECKING, Any, ClassVar

import django
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.db import close_old_connections
from django.utils import timezone
from django.utils.module_loading import import_string

from aiworkstation.access.lookup import as_uuid
from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.origin import current_actor
from workflows import engine
from workflows.errors import PermanentError, StepError
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, Queue, WorkflowStep
from workflows.steps import NewExecution, NewStep
from workflows.tools import Arguments, StepContext, Tool, register
from workflows.worker.threads import in_thread

if TYPE_CHECKING or django.VERSION < (6,):
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
    from django_tasks.exceptions import TaskResultDoesNotExist
    from django_tasks.signals import task_enqueued, task_finished, task_started
else:
    from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started

JOB_TYPE = "django-task"
OWNER = "tasks"
"""The user who owns the jobs, unless the option `owner` names another one."""
MAX_TRACEBACK = 10_000
"""How many characters are kept from the end of a traceback."""

_database = ThreadPoolExecutor(2, thread_name_prefix="django task")


class Backend(BaseTaskBackend):
    """OPTIONS: `owner`, a username, and `max_attempts` (1 to 20, by default 1)."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult[Any]:
        """Stores the job in the caller's transaction, if there is one. A job that is rolled back does not run."""
        self.validate_task(task)
        now = timezone.now()
        result = _result(task, self.alias, list(args), dict(kwargs), enqueued_at=now)
        delay = (task.run_after - now).total_seconds() if task.run_after else 0
        step = NewStep(
            task.name,
            tool=AsyncTask.slug if iscoroutinefunction(task.func) else SyncTask.slug,
            arguments=_arguments(task, result),
            max_attempts=int(self.options.get("max_attempts", 1)),
        )
        new = NewExecution(
            self._owner_id(), JOB_TYPE, task.module_path[:300], [step], queue=_queue(task.priority), delay=max(delay, 0)
        )
        object.__setattr__(result, "id", str(engine.start(new, actor=current_actor())))
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[Any]:
        step = _find_step(str(result_id))
        arguments = step.arguments or {} if step else {}
        if step is None or arguments.get("backend") != self.alias:
            raise TaskResultDoesNotExist(result_id)
        task = _find(arguments["path"]).using(
            priority=arguments["priority"], queue_name=arguments["queueName"], backend=self.alias
        )
        result = _result(
            task, self.alias, arguments["args"], arguments["kwargs"], enqueued_at=step.execution.created_at
        )
        for name, value in _state(step).items():
            object.__setattr__(result, name, value)
        return result

    def _owner_id(self) -> int:
        name = self.options.get("owner", OWNER)
        owner = User.objects.filter(username=name).only("pk").first()
        if owner is None:
            owner, _ = User.objects.get_or_create(username=name, defaults={"password": "!"})  # nobody can sign in
        return owner.pk


def _find_step(result_id: str) -> WorkflowStep | None:
    key = as_uuid(result_id)
    steps = WorkflowStep.objects.select_related("execution").filter(execution__job_type=JOB_TYPE)
    return steps.filter(execution=key).first() if key else None


def _queue(priority: int) -> str:
    return Queue.HIGH if priority > 0 else Queue.LOW if priority < 0 else Queue.NORMAL


def _result(
    task: Task[Any, Any], backend: str, args: list[Any], kwargs: dict[str, Any], *, enqueued_at: Any
) -> TaskResult[Any]:
    return TaskResult(
        task=task,
        id="",
        status=TaskResultStatus.READY,
        enqueued_at=enqueued_at,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def _arguments(task: Task[Any, Any], result: TaskResult[Any]) -> dict[str, Any]:
    """`result` has the arguments as plain JSON."""
    return {
        "path": task.module_path,
        "args": result.args,
        "kwargs": result.kwargs,
        "backend": result.backend,
        "priority": task.priority,
        "queueName": task.queue_name,
    }


_STATUSES = {
    ExecutionStatus.RUNNING: TaskResultStatus.RUNNING,
    ExecutionStatus.COMPLETED: TaskResultStatus.SUCCESSFUL,
    ExecutionStatus.FAILED: TaskResultStatus.FAILED,
    ExecutionStatus.CANCELLED: TaskResultStatus.FAILED,
}


def _state(step: WorkflowStep) -> dict[str, Any]:
    """The fields of a TaskResult that change, from the step and its audit events."""
    job = step.execution
    events = list(AuditEvent.objects.filter(execution_id=job.pk, object=f"step:{step.pk}").order_by("pk"))
    starts = [event for event in events if event.action == "step.started"]
    failures = [
        event.changes.get("error") for event in events if event.action in ("step.failed", "step.retry_scheduled")
    ]
    errors = [_task_error(failure or {}) for failure in failures]
    if job.status == ExecutionStatus.CANCELLED:
        errors.append(TaskError(exception_class_path=_path(StepError), traceback="The job was cancelled."))
    return {
        "id": str(job.pk),
        "status": _STATUSES.get(ExecutionStatus(job.status), TaskResultStatus.READY),
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "last_attempted_at": starts[-1].at if starts else None,
        "errors": errors,
        "worker_ids": [event.actor for event in starts],
        "_return_value": step.output if job.status in FINISHED_EXECUTION else None,
    }


def _task_error(error: dict[str, Any]) -> TaskError:
    """The code of an exception's error is its class."""
    code = str(error.get("code", ""))
    return TaskError(
        exception_class_path=code if "." in code else _path(StepError), traceback=str(error.get("message", ""))
    )


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _find(path: str) -> Task[Any, Any]:
    """Returns the task at this path. A row names the path, so only functions with the decorator `task` count."""
    try:
        found = import_string(path)
    except ImportError as error:
        raise PermanentError(f"There is no task {path}: {error}", code="unknown_task") from error
    if not isinstance(found, Task):
        raise PermanentError(f"{path} is not a task: decorate it with @task.", code="unknown_task")
    return found


class TaskArguments(Arguments):
    path: str
    args: list[Any]
    kwargs: dict[str, Any]
    backend: str
    priority: int
    queueName: str


class _TaskTool(Tool):
    is_internal = True
    Arguments: ClassVar[type[Arguments]] = TaskArguments

    def failed(self, context: StepContext, arguments: dict[str, Any], error: StepError) -> None:
        result = _begun(context, arguments["path"])
        object.__setattr__(result, "status", TaskResultStatus.FAILED)
        object.__setattr__(result, "finished_at", timezone.now())
        result.errors.append(_task_error({"code": error.code, "message": error.message}))
        task_finished.send(Backend, task_result=result)


@register
class SyncTask(_TaskTool):
    slug = "DJANGO_TASK"
    description = "Runs a function of Django's task framework in a thread."
    slot = "thread"

    def run(self, context: StepContext, arguments: TaskArguments) -> Any:
        result = _begin(context, arguments.path)
        try:
            value = result.task.func(*_positional(result), **arguments.kwargs)
        except Exception as error:
            raise _as_step_error(error) from error
        return _finish(result, value)


@register
class AsyncTask(_TaskTool):
    slug = "DJANGO_ASYNC_TASK"
    description = "Runs a coroutine of Django's task framework."

    async def run(self, context: StepContext, arguments: TaskArguments) -> Any:
        result = await in_thread(_database, _begin, context, arguments.path)
        # The thread in which asgiref runs the ORM's calls keeps its connections.
        await sync_to_async(close_old_connections)()
        try:
            value = await result.task.func(*_positional(result), **arguments.kwargs)
        except Exception as error:
            raise _as_step_error(error) from error
        finally:
            await sync_to_async(close_old_connections)()
        return await in_thread(_database, _finish, result, value)


def _begun(context: StepContext, path: str) -> TaskResult[Any]:
    """Returns the result of the step's task, as the task's function and signal receivers see it."""
    alias = WorkflowStep.objects.values_list("arguments__backend", flat=True).get(pk=context.step_id)
    result = _find(path).using(backend=alias).get_backend().get_result(str(context.execution_id))
    object.__setattr__(result, "status", TaskResultStatus.RUNNING)
    return result


def _begin(context: StepContext, path: str) -> TaskResult[Any]:
    result = _begun(context, path)
    task_started.send(Backend, task_result=result)
    return result


def _positional(result: TaskResult[Any]) -> list[Any]:
    context = [TaskContext(task_result=result)] if result.task.takes_context else []
    return [*context, *result.args]


def _finish(result: TaskResult[Any], value: Any) -> Any:
    """Raises StepError if the value is not JSON."""
    try:
        stored = json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise PermanentError(f"The task's return value is not JSON: {error}", code="bad_output") from error
    object.__setattr__(result, "status", TaskResultStatus.SUCCESSFUL)
    object.__setattr__(result, "finished_at", timezone.now())
    object.__setattr__(result, "_return_value", stored)
    task_finished.send(Backend, task_result=result)
    return stored


def _as_step_error(error: Exception) -> StepError:
    """Keeps the class and the traceback. A StepError itself decides whether the task runs again."""
    if isinstance(error, StepError):
        return error
    trace = "".join(format_exception(error))
    return StepError(trace[-MAX_TRACEBACK:], code=_path(type(error)))
