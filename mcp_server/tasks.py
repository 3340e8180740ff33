"""Jobs as Tasks: the extension `io.modelcontextprotocol/tasks` of the protocol (SEP-2663).

The id of a task is that of its job. A task is for the job's owner only, also if the caller is staff.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from mcp_types import CLIENT_CAPABILITIES_META_KEY

from aiworkstation.access.not_yours import NotYours
from aiworkstation.web.serializers import wire_time
from jobs import steer
from jobs.api.serializers import JobSerializer
from jobs.display import Job, describe_jobs
from jobs.lookup import get_execution
from mcp_server.answers import result_of
from mcp_server.tools import MAX_OUTPUT, Answer
from workflows.models import ExecutionStatus, WorkflowExecution

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MS = 2000
Json = dict[str, Any]


def takes_tasks(meta: Mapping[str, Any] | None) -> bool:
    """Whether the client of this request understands tasks. `meta` is what it sent, in any shape."""
    found: Any = meta
    for key in (CLIENT_CAPABILITIES_META_KEY, "extensions"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return isinstance(found, Mapping) and EXTENSION in found


def created(execution: WorkflowExecution) -> Json:
    """The answer to a call that has started a job, instead of the tool's own."""
    (job,) = describe_jobs([execution])
    return {**_task(job), "resultType": "task"}


def get(user: User, id: str) -> Json:
    (job,) = describe_jobs([_own(user, id)], max_output=MAX_OUTPUT)
    task = _task(job)
    if task["status"] == "completed":
        is_failed = job.status == ExecutionStatus.FAILED
        result = result_of(Answer(JobSerializer(job).data, f"The job is finished: {job.status}."))
        result.is_error = is_failed
        task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return task


def cancel(user: User, id: str) -> Json:
    """A finished job stays as it is: the protocol has no error for that."""
    execution = _own(user, id)
    if not execution.is_finished:
        steer.cancel(user, execution)
    return {}


def update(user: User, id: str) -> Json:
    """No task asks its client for input, so there is nothing to take. People answer approvals in the web page."""
    _own(user, id)
    return {}


def _own(user: User, id: str) -> WorkflowExecution:
    execution = get_execution(user, id)
    if execution.owner_id != user.pk:
        raise NotYours(f"job:{execution.pk}")
    return execution


def _task(job: Job) -> Json:
    return {
        "taskId": str(job.id),
        "status": _status(job),
        # No names and no messages of steps: here they could not be fenced, and other users may have written them.
        "statusMessage": f"{job.status}, {job.progress.percent} percent",
        "createdAt": wire_time(job.created_at),
        "lastUpdatedAt": wire_time(job.changed_at),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def _status(job: Job) -> str:
    """`failed` is for errors of the protocol: a job that failed is a completed task with an error as its result."""
    if job.status == ExecutionStatus.CANCELLED:
        return "cancelled"
    return "completed" if job.is_finished else "working"
