"""What is kept for how long: finished jobs with their steps, django-q2's own rows, and what has no more use.

Audit events stay.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import Task

from aiworkstation.audit.record import record
from workflows.models import Cooldown, WorkflowExecution, WorkflowStep

BATCH = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went, or would go."""

    jobs: int
    steps: int
    tasks: int
    cooldowns: int


def prune(*, days: int | None = None, dry_run: bool = False, actor: str = "prune") -> Pruned:
    """Deletes what ended more than `days` ago (RETENTION_DAYS unless told; 0 keeps everything), a batch at a time."""
    days = settings.CONFIG.retention_days if days is None else days
    if days == 0:
        return Pruned(0, 0, 0, 0)
    before = timezone.now() - timedelta(days=days)
    jobs = WorkflowExecution.objects.finished().filter(finished_at__lt=before)
    tasks = Task.objects.filter(stopped__lt=before)
    cooldowns = Cooldown.objects.filter(until__lt=before)
    steps = WorkflowStep.objects.filter(execution__in=jobs)
    found = Pruned(jobs.count(), steps.count(), tasks.count(), cooldowns.count())
    if not dry_run:
        for rows in (jobs, tasks, cooldowns):
            _delete(rows)
        if any((found.jobs, found.tasks)):
            changes = {"jobs": found.jobs, "steps": found.steps, "tasks": found.tasks, "days": days}
            record(actor, "work.pruned", "work:finished", changes)
    return found


def _delete(rows: QuerySet) -> None:  # type: ignore[type-arg]
    """In batches, each a transaction of its own: no long locks, no long transaction."""
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=batch).delete()


def prune_daily() -> str:
    """What the schedule calls; its result stands in django-q2's row of the task."""
    return str(prune(actor="schedule"))
