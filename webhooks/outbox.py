"""Turns audit events into deliveries, in maintenance: see `aiworkstation.audit.follower`."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from aiworkstation.audit.follower import Follower
from aiworkstation.audit.models import AuditEvent
from documents.api.serializers import DocumentSerializer
from documents.lookup import readable
from jobs.api.serializers import JobSerializer
from jobs.display import describe_jobs
from jobs.lookup import with_beginnings
from webhooks import deliver
from webhooks.models import ALERT_TYPES, Delivery, EventType, Webhook
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

ACTOR = "webhooks"
PRUNE_EVERY = timedelta(hours=1)

ACTIONS = {
    "job.completed": EventType.JOB_COMPLETED,
    "job.completed_with_errors": EventType.JOB_COMPLETED,
    "job.failed": EventType.JOB_FAILED,
    "job.cancelled": EventType.JOB_CANCELLED,
    "job.waiting": EventType.JOB_WAITING,
    "document.indexed": EventType.DOCUMENT_INDEXED,
    "document.failed": EventType.DOCUMENT_FAILED,
    **{str(each): each for each in ALERT_TYPES},
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The job or document of an event: whose it is, its labels, and its JSON."""

    owner_id: int
    project_id: str
    tags: list[str]
    data: dict[str, Any]


class Outbox:
    """A duty of maintenance (`settings.MAINTENANCE_DUTIES`)."""

    def __init__(self) -> None:
        self._follower = Follower(deliver.CURSOR, ACTIONS, _deliver)
        self._pruned_at: datetime | None = None

    def do(self) -> int:
        """Starts what is due. Returns the number of deliveries. Without webhooks, it only reads an empty table."""
        if not Webhook.objects.exists():
            return 0
        self._prune()
        return self._follower.follow()

    def _prune(self) -> None:
        """Deletes deliveries with the jobs of their age. One that is resent, or still tried, stays as its job does."""
        now, days = timezone.now(), settings.CONFIG.retention_days
        if not days or (self._pruned_at and now - self._pruned_at < PRUNE_EVERY):
            return
        self._pruned_at = now
        Delivery.objects.over().filter(created_at__lt=now - timedelta(days=days)).delete()


def _deliver(events: list[AuditEvent]) -> int:
    alerts = [event for event in events if event.action in ALERT_TYPES]
    return _deliver_alerts(alerts) + _deliver_own([event for event in events if event.action not in ALERT_TYPES])


def _deliver_alerts(events: list[AuditEvent]) -> int:
    """Alerts have no project and no tags. The data is in the event."""
    wanted = [event for event in events if event.changes.get("toWebhooks")]
    webhooks = list(Webhook.objects.at_work().of_staff().filter(types__overlap=ALERT_TYPES)) if wanted else []
    count = 0
    for event in wanted:
        data = {name: value for name, value in event.changes.items() if name != "toWebhooks"}
        for webhook in webhooks:
            if event.action in webhook.types and event.at >= webhook.created_at:
                body = deliver.message(event.action, event.at, data)
                deliver.store(webhook, event.action, body, actor=ACTOR, event_id=event.pk)
                count += 1
    return count


def _deliver_own(events: list[AuditEvent]) -> int:
    """Jobs and documents, to webhooks of their owners."""
    subjects = _jobs(events) | _documents(events)
    webhooks = defaultdict(list)
    owners = {subject.owner_id for subject in subjects.values()}
    for webhook in Webhook.objects.at_work().filter(owner__in=owners):
        webhooks[webhook.owner_id].append(webhook)
    asking = _asking({event.execution_id for event in events if event.action == "job.waiting"})
    count = 0
    for event in events:
        subject = subjects.get(event.object)
        if subject is None:
            continue  # deleted meanwhile, or no subject of webhooks
        if event.action == "job.waiting" and event.execution_id not in asking:
            continue  # for a delay only
        event_type = ACTIONS[event.action]
        for webhook in webhooks[subject.owner_id]:
            is_wanted = webhook.wants(event_type, project_id=subject.project_id, tags=subject.tags)
            if is_wanted and event.at >= webhook.created_at:
                body = deliver.message(event_type, event.at, _data(event, subject))
                deliver.store(webhook, event_type, body, actor=ACTOR, event_id=event.pk)
                count += 1
    return count


def _data(event: AuditEvent, subject: Subject) -> dict[str, Any]:
    """The status is that of the event, even if the job has changed since."""
    status = event.changes.get("status")
    return subject.data | ({"status": status} if event.action.startswith("job.") and status else {})


def _jobs(events: list[AuditEvent]) -> dict[str, Subject]:
    """Returns the jobs of the events, by the events' `object`."""
    ids = {event.execution_id for event in events if event.object.startswith("job:") and event.execution_id}
    rows = with_beginnings(WorkflowExecution.objects.select_related("owner")).filter(pk__in=ids)
    found = list(rows.exclude(job_type__in=settings.UNLISTED_JOB_TYPES))
    return {
        f"job:{row.pk}": Subject(row.owner_id, row.project_id, row.tags, _without_output(JobSerializer(job).data))
        for row, job in zip(found, describe_jobs(found), strict=True)
    }


def _asking(jobs: set[UUID | None]) -> set[UUID | None]:
    """Returns the jobs with a step that waits for an answer, not for the end of a delay."""
    steps = WorkflowStep.objects.filter(execution__in=jobs, status=StepStatus.WAITING, ready_at=None)
    return set(steps.values_list("execution_id", flat=True))


def _without_output(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "output"}


def _documents(events: list[AuditEvent]) -> dict[str, Subject]:
    uids = {event.object.partition(":")[2] for event in events if event.object.startswith("document:")}
    return {
        f"document:{row.uid}": Subject(
            row.owner_id, row.project_id, row.tags, dict(DocumentSerializer(row, context={"user": row.owner}).data)
        )
        for row in readable().filter(uid__in=uids)
    }
