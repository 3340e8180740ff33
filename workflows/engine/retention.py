"""Retention: deletes old finished jobs with their steps, results of plain tasks, and expired cool-downs.

Audit events are never deleted.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import Task

from aiworkstation.audit.record import record
from workflows.engine import rollups
from workflows.models import Cooldown, ExecutionQuerySet, WorkflowExecution, WorkflowStep

BATCH = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were deleted, or would be."""

    jobs: int
    steps: int
    tasks: int
    cooldowns: int


def prune(*, days: int | None = None, dry_run: bool = False, actor: str = "prune") -> Pruned:
    """Deletes rows that finished more than `days` days ago. Default: RETENTION_DAYS. 0 deletes nothing."""
    days = settings.CONFIG.retention_days if days is None else days
    if days == 0:
        return Pruned(0, 0, 0, 0)
    before = timezone.now() - timedelta(days=days)
    jobs = WorkflowExecution.objects.finished().filter(finished_at__lt=before)
    tasks = Task.objects.filter(stopped__lt=before)
    cooldowns = Cooldown.objects.filter(until__lt=before)
    steps = WorkflowStep.objects.filter(execution__in=jobs)
    # Counted before anything is deleted: steps go with their jobs.
    found = Pruned(jobs.count(), steps.count(), tasks.count(), cooldowns.count())
    if not dry_run:
        _delete_jobs(jobs)
        for rows in (tasks, cooldowns):
            _delete_in_batches(rows)
        if any((found.jobs, found.tasks)):
            changes = {"jobs": found.jobs, "steps": found.steps, "tasks": found.tasks, "days": days}
            record(actor, "work.pruned", "work:finished", changes)
    return found


def _delete_jobs(jobs: ExecutionQuerySet) -> None:
    while _delete_some_jobs(jobs):
        pass


@transaction.atomic
def _delete_some_jobs(jobs: ExecutionQuerySet) -> int:
    # Locked first, as by every verb: a job that a user retries at this moment is not finished any more, and stays. What
    # others have locked is left to the next day, because waiting for a frozen process would stop the pruning.
    free = jobs.order_by("pk").select_for_update(skip_locked=True)
    old = list(free.values_list("pk", flat=True)[:BATCH])
    rollups.keep(old, with_usage=True)
    WorkflowExecution.objects.filter(pk__in=old).delete()
    return len(old)


def _delete_in_batches(rows: QuerySet) -> None:  # type: ignore[type-arg]
    """Each batch is a transaction of its own, so that no lock and no transaction lasts long."""
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=batch).delete()


def prune_daily() -> str:
    """The schedule calls this. django-q2 stores the result with the task."""
    return str(prune(actor="schedule"))
