"""Bulk actions: one action on many jobs, which a separate job carries out in slices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.access.lookup import ALL, as_uuid
from aiworkstation.audit.record import record
from aiworkstation.web.paging import LabelFilters
from aiworkstation.web.serializers import MAX_CHOSEN, BoundedList, Choice, Errors, Name, StrictSerializer, invalid
from jobs.bulk_tool import Action, BulkAction
from jobs.job_input import JobFilters
from jobs.lookup import list_executions
from workflows import engine
from workflows.models import ExecutionStatus, Queue, WorkflowExecution
from workflows.steps import NewExecution, NewStep

JOB_TYPE = "bulk-action"
MAX_IDS = 10_000
MAX_JOBS = 100_000
SLICE = 100
VERBS: dict[Action, str] = {
    "cancel": "Cancel",
    "retry": "Retry",
    "rerun": "Rerun",
    "delete": "Delete",
    "priority": "Prioritize",
}

Selected = list[tuple[UUID, str]]
"""The ids of jobs, each with its status, oldest first."""


class Statuses(BoundedList):
    """One status, or a list of them."""

    def to_internal_value(self, data: Any) -> list[Any]:
        return super().to_internal_value([data] if isinstance(data, str) else data)


class JobsFilter(LabelFilters, JobFilters):
    """The filters of `GET /api/jobs`, as JSON."""

    status = Statuses(child=Choice([*ExecutionStatus.values, ALL]), max_length=MAX_CHOSEN, required=False)


class BulkRequest(StrictSerializer):
    """The body of `POST /api/jobs/bulk`."""

    action = Choice(get_args(Action))
    jobIds = BoundedList(child=Name(), max_length=MAX_IDS, required=False, min_length=1, source="job_ids")
    filter = JobsFilter(required=False)
    priority = Choice(Queue.values, required=False)
    dryRun = serializers.BooleanField(default=False, source="dry_run")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if ("jobIds" in data) == ("filter" in data):
            errors.setdefault("jobIds", invalid("Give either jobIds or filter.", "required"))
        if "action" in value and (value["action"] == "priority") != ("priority" in data):
            needed = value["action"] == "priority"
            message = "Name the new priority." if needed else "Only the action priority takes a priority."
            errors.setdefault("priority", invalid(message, "required" if needed else "invalid"))


def selected_jobs(user: User, value: Mapping[str, Any]) -> Selected:
    """`value` is a validated BulkRequest. Raises ValidationError for a job that is not there, or not the user's."""
    if "job_ids" in value:
        return _named_jobs(user, value["job_ids"])
    rows = list_executions(user, value["filter"]).order_by("created_at", "pk")
    found = list(rows.values_list("pk", "status")[: MAX_JOBS + 1])
    if len(found) > MAX_JOBS:
        raise ValidationError({"filter": invalid(f"More than {MAX_JOBS:,} jobs match. Narrow the filter.")})
    return found


def _named_jobs(user: User, ids: Sequence[str]) -> Selected:
    keys = [as_uuid(id) for id in ids]
    rows = WorkflowExecution.objects.visible_to(user).filter(pk__in=[key for key in keys if key])
    found = dict(rows.order_by("created_at", "pk").values_list("pk", "status"))
    unknown = {
        str(place): invalid(f"There is no job {ids[place]}.", "unknown")
        for place, key in enumerate(keys)
        if key not in found
    }
    if unknown:
        raise ValidationError({"jobIds": unknown})
    return list(found.items())


def count_by_status(jobs: Selected) -> dict[str, Any]:
    return {"matches": len(jobs), "byStatus": dict(Counter(status for _, status in jobs))}


@transaction.atomic
def start_bulk_action(user: User, value: Mapping[str, Any], jobs: Selected, body: dict[str, Any]) -> WorkflowExecution:
    """Starts the job that processes these jobs, one slice after another."""
    action: Action = value["action"]
    count = f"{len(jobs):,} job" + ("" if len(jobs) == 1 else "s")
    new = NewExecution(
        owner_id=user.pk,
        job_type=JOB_TYPE,
        name=f"{VERBS[action]} {count}",
        steps=_slices([str(id) for id, _ in jobs], {"action": action, "priority": value.get("priority")}),
        payload=body,
        max_parallel=1,
    )
    job = engine.start(new, actor=user.username)
    record(user, "job.bulk_requested", f"job:{job}", {"action": action, **count_by_status(jobs)}, execution_id=job)
    return WorkflowExecution.objects.select_related("owner").get(pk=job)


def _slices(ids: list[str], arguments: dict[str, Any]) -> list[NewStep]:
    """Each step adds the counts of the step before to its own. Without jobs, there is one empty slice."""
    return [
        NewStep(
            f"Jobs {start + 1:,} to {min(start + SLICE, len(ids)):,}" if ids else "No jobs",
            tool=BulkAction.slug,
            arguments={**arguments, "jobIds": ids[start : start + SLICE]},
            depends_on=[number - 1] if number else [],
        )
        for number, start in enumerate(range(0, max(len(ids), 1), SLICE))
    ]
