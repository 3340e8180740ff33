"""What is wrong now, as the database shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q
from django.utils import timezone

from alerts.models import AlertRule
from jobs.models import WorkflowSchedule
from jobs.schedules import MISSED_AFTER
from mail.outbox import one_line
from workflows.models import ExecutionStatus, Pause, WorkflowExecution
from workflows.monitoring.queue_state import oldest_due_by_slot

MAX_SCHEDULES = 100
"""How many schedules one look reports."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `subject` tells findings of one rule apart: a job type, a schedule, or nothing."""

    subject: str
    summary: str
    detail: str = ""


def failure_share(rule: AlertRule) -> Finding | None:
    since = timezone.now() - timedelta(seconds=rule.window_seconds)
    jobs = WorkflowExecution.objects.filter(finished_at__gt=since).exclude(status=ExecutionStatus.CANCELLED)
    if rule.job_type:
        jobs = jobs.filter(job_type=rule.job_type)
    else:
        jobs = jobs.exclude(job_type__in=settings.UNLISTED_JOB_TYPES)
    found = jobs.aggregate(all=Count("pk"), failed=Count("pk", filter=Q(status=ExecutionStatus.FAILED)))
    total, failed = found["all"], found["failed"]
    if total < rule.least_jobs or failed * 100 <= rule.limit * total:
        return None
    what = f"jobs of the type {rule.job_type}" if rule.job_type else "jobs"
    summary = f"{failed} of {total} {what} failed"
    detail = f"That is {100 * failed / total:.0f} % of those that finished in {duration(rule.window_seconds)}."
    return Finding(rule.job_type, summary, f"{detail} The limit is {rule.limit:g} %.")


def oldest_due(rule: AlertRule) -> Finding | None:
    ages = oldest_due_by_slot()
    oldest = max(ages.values(), default=timedelta()).total_seconds()
    if oldest <= rule.limit:
        return None
    pauses = [
        f" {one_line(pause.what, 300)} paused since {pause.since:%Y-%m-%d %H:%M} UTC by {pause.by}."
        for pause in Pause.objects.all()
    ]
    detail = f"The limit is {duration(rule.limit)}.{''.join(pauses)}"
    return Finding("", f"The oldest due job has waited for {duration(oldest)}", detail)


def no_worker(seconds: float) -> Finding:
    """`seconds` is for how long none was seen."""
    detail = f"Jobs wait until one is. None was seen for {duration(seconds)}. Start one with `manage.py work`."
    return Finding("", "No worker is alive", detail)


def overdue_schedules(rule: AlertRule) -> Iterator[Finding]:
    """Schedules whose time is past, and that nobody has run: no scheduler is at work."""
    until = timezone.now() - max(timedelta(seconds=rule.limit), MISSED_AFTER)
    rows = WorkflowSchedule.objects.filter(next_run__lt=until).select_related("workflow").defer("workflow__payload")
    for schedule in rows.order_by("next_run")[:MAX_SCHEDULES]:
        due = f"It was due at {schedule.next_run:%Y-%m-%d %H:%M} UTC."
        yield Finding(str(schedule.pk), missed_summary(schedule), due)


def missed_summary(schedule: WorkflowSchedule) -> str:
    return f"The schedule of the workflow {one_line(schedule.workflow.name, 64)} missed a due time"


def duration(seconds: float) -> str:
    """In the largest unit of which there are at least two, rounded down."""
    for unit, size in (("days", 24 * 3600), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} seconds"
