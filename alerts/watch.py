"""Looks for what is wrong, and for what is right again. One process at a time does it, on all machines.

1. Close alerts whose rule was deleted, muted or changed.
2. Read the audit events since the last look: a failed job and a missed schedule are seen also if they are gone now.
3. Look at the state of the queue, the workers and the schedules.
4. End alerts that have been calm for long enough.
5. If no worker is alive, deliver the alerts' webhooks from here.
"""

import time
from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from aiworkstation.audit.follower import Follower
from aiworkstation.audit.models import AuditEvent
from aiworkstation.ids import uuid7
from alerts import conditions, episodes
from alerts.conditions import Finding
from alerts.models import OTHERS, Alert, AlertRule, Kind
from jobs.models import WorkflowSchedule
from webhooks.outbox import Outbox
from webhooks.tools import send_without_workers
from workflows.engine.why_waiting import alive_workers
from workflows.models import Duty

DUTY = "alerts"
LEASE_SECONDS = 45
"""Longer than the pause and one message: see `webhooks.tools.TIMEOUT`."""
COMPLETED = ("job.completed", "job.completed_with_errors")
RAN = "schedule.started"
MISSED = {"schedule.missed": "No worker was alive then.", "schedule.refused": "The job could not be started."}
ACTIONS = ("job.failed", *COMPLETED, RAN, *MISSED)
OUTCOMES = {
    Kind.JOB_FAILED: "A job of this type was completed.",
    Kind.FAILURE_SHARE: "The share of failed jobs is below the limit.",
    Kind.OLDEST_DUE: "No job has waited longer than the limit.",
    Kind.NO_WORKER: "A worker is alive.",
    Kind.MISSED_SCHEDULE: "The schedule ran, or it was paused or deleted.",
}
NO_MORE = "Nothing else was found to be wrong."


class Watch:
    """A side duty (`settings.SIDE_DUTIES`)."""

    seconds = 10.0

    def __init__(self) -> None:
        self._id: UUID = uuid7()
        self._follower = Follower("alerts", ACTIONS, _read_events)
        self._webhooks = Outbox()
        self._no_worker_since: float | None = None
        """Monotonic. What this process has seen itself: it says nothing about the time before."""

    def do(self) -> None:
        if not self._has_duty():
            self._no_worker_since = None
            return
        _close_uncovered()
        self._follower.follow()
        rules = list(AlertRule.objects.at_work())
        seconds_without = self._seconds_without_worker()
        for rule in rules:
            episodes.note_right(rule, OTHERS)  # until something else is found to be wrong
            _look(rule, seconds_without)
        for alert in episodes.calm_alerts():
            episodes.resolve(alert, OUTCOMES[Kind(alert.kind)] if alert.subject != OTHERS else NO_MORE)
        if seconds_without:
            self._webhooks.do()
            send_without_workers(self._has_duty)

    def _has_duty(self) -> bool:
        return Duty.take(DUTY, self._id, LEASE_SECONDS)

    def _seconds_without_worker(self) -> float:
        """For how long no worker has been alive, as far as this process has seen. 0 if one is alive."""
        if alive_workers():
            self._no_worker_since = None
            return 0
        now = time.monotonic()
        if self._no_worker_since is None:
            self._no_worker_since = now
        return max(now - self._no_worker_since, 0.001)


def _close_uncovered() -> None:
    for alert in Alert.objects.open().select_related("rule"):
        if reason := _no_longer_covered(alert):
            episodes.resolve(alert, reason)


def _no_longer_covered(alert: Alert) -> str:
    if alert.rule is None:
        return "The rule was deleted."
    if alert.rule.is_muted:
        return "The rule was muted."
    return "" if alert.rule.covers(alert) else "The rule was changed."


def _read_events(events: list[AuditEvent]) -> int:
    rules = list(AlertRule.objects.at_work().filter(kind__in=[Kind.JOB_FAILED, Kind.MISSED_SCHEDULE]))
    schedules = _schedules(events)
    began = 0
    for event in events:
        for rule in rules:
            if event.at < rule.created_at:
                continue
            if rule.kind == Kind.JOB_FAILED and event.action.startswith("job."):
                began += _judge_job(rule, event)
            elif rule.kind == Kind.MISSED_SCHEDULE and event.action.startswith("schedule."):
                began += _judge_schedule(rule, event, schedules)
    return began


def _judge_job(rule: AlertRule, event: AuditEvent) -> bool:
    job_type = str(event.changes.get("jobType", ""))
    if not (rule.job_type == job_type if rule.job_type else job_type not in settings.UNLISTED_JOB_TYPES):
        return False
    if event.action in COMPLETED:
        episodes.note_right(rule, job_type, event.at)
        return False
    link = f"{settings.CONFIG.public_url}{reverse('job', args=[event.execution_id])}"
    return episodes.begin(rule, Finding(job_type, f"A job of the type {job_type} failed", link), event.at)


def _judge_schedule(rule: AlertRule, event: AuditEvent, schedules: dict[str, WorkflowSchedule]) -> bool:
    id = event.object.removeprefix("schedule:")
    if event.action == RAN:
        episodes.note_right(rule, id, event.at)
        return False
    schedule = schedules.get(id)
    if schedule is None:  # deleted meanwhile
        return False
    reason = f"{MISSED[event.action]} {event.changes.get('error') or ''}".rstrip()
    detail = f"{reason} It was due at {event.changes.get('due')}."
    return episodes.begin(rule, Finding(id, conditions.missed_summary(schedule), detail), event.at)


def _schedules(events: Iterable[AuditEvent]) -> dict[str, WorkflowSchedule]:
    ids = [event.object.removeprefix("schedule:") for event in events if event.object.startswith("schedule:")]
    rows = WorkflowSchedule.objects.filter(pk__in=ids).select_related("workflow").defer("workflow__payload")
    return {str(schedule.pk): schedule for schedule in rows}


def _look(rule: AlertRule, seconds_without_worker: float) -> None:
    match rule.kind:
        case Kind.FAILURE_SHARE:
            _note(rule, conditions.failure_share(rule), rule.job_type)
        case Kind.OLDEST_DUE:
            _note(rule, conditions.oldest_due(rule))
        case Kind.NO_WORKER:
            if not seconds_without_worker:
                episodes.note_right(rule, "")
            elif seconds_without_worker > rule.limit:
                episodes.begin(rule, conditions.no_worker(seconds_without_worker))
        case Kind.MISSED_SCHEDULE:
            for finding in conditions.overdue_schedules(rule):
                episodes.begin(rule, finding)
            _note_stopped_schedules(rule)


def _note(rule: AlertRule, finding: Finding | None, subject: str = "") -> None:
    if finding:
        episodes.begin(rule, finding)
    else:
        episodes.note_right(rule, subject)


def _note_stopped_schedules(rule: AlertRule) -> None:
    """A schedule that is paused or deleted misses nothing."""
    open_ones = set(Alert.objects.open().filter(rule=rule).values_list("subject", flat=True))
    open_ones.discard(OTHERS)
    at_work = WorkflowSchedule.objects.filter(pk__in=open_ones, is_paused=False).values_list("pk", flat=True)
    for subject in open_ones - {str(id) for id in at_work}:
        episodes.note_right(rule, subject, timezone.now())
