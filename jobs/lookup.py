"""The only ways to a job, and to lists of jobs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Left
from django.http import Http404

from aiworkstation.access.lookup import ALL, Caller, as_uuid, get_visible, labels_match, owned_by
from jobs.failure_patterns import FAILURE_FILTERS, has_failed_step
from jobs.job_input import has_input
from workflows.models import ExecutionQuerySet, WorkflowExecution, WorkflowStep

NEWEST_FIRST = ("-created_at", "-id")
MAX_DESCRIPTION = 1000
"""The most characters of a job's description in a list."""


def get_execution(user: Caller, id: str | UUID) -> WorkflowExecution:
    """Raises Http404 if the job does not exist, and NotYours, which looks the same, if it is another user's."""
    return get_visible(_single_jobs(), user, as_uuid(str(id)), "job")


def find_execution(id: str) -> WorkflowExecution:
    """Finds any user's job, for callbacks: their signature is valid for every job. Raises Http404."""
    key = as_uuid(id)
    execution = _single_jobs().filter(pk=key).first() if key else None
    if execution is None:
        raise Http404("There is no such job.")
    return execution


def _single_jobs() -> ExecutionQuerySet:
    """Without payloads, which may be megabytes."""
    return WorkflowExecution.objects.select_related("owner").defer("payload")


def find_step(execution: WorkflowExecution, id: str | None, index: int | None) -> WorkflowStep:
    """Finds a step by its id, its index, or both, which must then name the same step. Raises Http404."""
    steps = WorkflowStep.objects.filter(execution=execution).defer("output")
    if id is not None:
        key = as_uuid(id)
        steps = steps.filter(pk=key) if key else steps.none()
    if index is not None:
        steps = steps.filter(index=index)
    step = steps.first()
    if step is None:
        raise Http404("The job has no such step.")
    return step


def with_beginnings(rows: ExecutionQuerySet) -> ExecutionQuerySet:
    """For lists: without payloads, and with the beginnings of descriptions. Either may be megabytes."""
    return rows.defer("payload", "description").annotate(description_beginning=Left("description", MAX_DESCRIPTION + 1))


def list_executions(user: Caller, filters: Mapping[str, Any]) -> ExecutionQuerySet:
    """Returns the user's own unfinished jobs by default.

    Filters: `owner` (a username or `all`), `status` (several, or `all`), and those of `matching`. No filter shows a job
    that the user may not see.
    """
    rows = owned_by(WorkflowExecution.objects.select_related("owner"), user, filters.get("owner", ""))
    rows = with_beginnings(rows)
    statuses = filters.get("status") or []
    if not statuses:
        rows = rows.unfinished()
    elif ALL not in statuses:
        rows = rows.filter(status__in=statuses)
    return rows.filter(matching(filters))


def matching(filters: Mapping[str, Any]) -> Q:
    """The filters `type`, `mode`, `project_id`, `tag`, `q` (in names and descriptions), `input`, `since` and `before`.

    And FAILURE_FILTERS, which the pages have. Raises BadInput.
    """
    wanted = labels_match(filters, type_field="job_type")
    if not filters.get("type"):
        wanted &= ~Q(job_type__in=settings.UNLISTED_JOB_TYPES)
    if q := filters.get("q"):
        wanted &= Q(name__icontains=q) | Q(description__icontains=q)
    if text := filters.get("input"):
        wanted &= has_input(text)
    if since := filters.get("since"):
        wanted &= Q(created_at__gte=since)
    if before := filters.get("before"):
        wanted &= Q(created_at__lt=before)
    if any(filters.get(name) for name in FAILURE_FILTERS):
        wanted &= has_failed_step(filters)
    return wanted
