"""Schedules of saved workflows: exactly one job for each due time, however many workers there are.

django-q2's scheduler calls `fire` through a clock (workflows.django_q.clocks). The schedule's own row decides what is
due: the process that holds its lock reads `next_run` and advances it in the transaction that starts the job.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.http import Http404
from django.utils import timezone
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.access.lookup import Caller, as_uuid, get_visible, owned_by
from aiworkstation.access.models import OwnedQuerySet
from aiworkstation.audit.record import record
from aiworkstation.web.serializers import Boolean, Choice, Errors, Integer, Name, StrictSerializer, invalid
from jobs.models import Missed, Overlap, RunOutcome, SavedWorkflow, ScheduleRun, WorkflowSchedule
from jobs.saved_workflows import WorkflowName, get_workflow, run_workflow
from jobs.schedule_times import cron_problem
from workflows.django_q.clocks import set_clock, stop_clock
from workflows.models import WorkflowExecution

ACTOR = "schedule"
FUNCTION = "jobs.schedules.fire"
MISSED_AFTER = timedelta(minutes=5)
"""A due time that is this late is missed. Busy workers are faster than that."""
QUEUE_POLL = timedelta(seconds=5)
"""How often a queued run checks whether the earlier ones are finished."""
MAX_QUEUED = 100
MAX_EVERY = 366 * 24 * 3600
RUNS_SHOWN = 10
RUNS_KEPT = 100
HIDDEN = "The owner of the schedule cannot see its workflow any more."


class CronField(Name):
    def to_internal_value(self, data: Any) -> str:
        cron = " ".join(super().to_internal_value(data).split())
        if problem := cron_problem(cron):
            raise ValidationError(invalid(problem))
        return cron


class TimeZoneField(Name):
    default_error_messages = {"unknown": "There is no time zone {name}. Write it such as UTC or Europe/Berlin."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in _time_zones():
            self.fail("unknown", name=name)
        return name


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


class ScheduleOptions(StrictSerializer):
    """The body of `PATCH /api/schedules/<scheduleId>`."""

    cron = CronField(max_length=100, required=False, allow_null=True)
    everySeconds = Integer(min_value=1, max_value=MAX_EVERY, required=False, allow_null=True, source="every_seconds")
    timezone = TimeZoneField(max_length=64, required=False)
    overlap = Choice(Overlap.values, required=False)
    missed = Choice(Missed.values, required=False)
    isPaused = Boolean(required=False, source="is_paused")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        given = [name for name in ("cron", "everySeconds") if data.get(name) is not None]
        if len(given) == 2:
            errors.setdefault("everySeconds", invalid("Send either cron or everySeconds."))
        elif not given and self._must_have_times(data):
            errors.setdefault("cron", invalid("Send cron or everySeconds.", "required"))

    def _must_have_times(self, data: Mapping[str, Any]) -> bool:
        """A null alone would leave a schedule without times."""
        return "cron" in data or "everySeconds" in data


class ScheduleRequest(ScheduleOptions):
    """The body of `POST /api/schedules`. `context["user"]` is the owner."""

    workflow = WorkflowName()
    workflowOwner = Name(max_length=150, required=False, source="workflow_owner")

    def _must_have_times(self, data: Mapping[str, Any]) -> bool:
        return True

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        super().cross_check(data, value, errors)
        if "workflow" not in value or "workflowOwner" in errors:
            return
        try:
            value["found"] = get_workflow(self.context["user"], value["workflow"], value.get("workflow_owner", ""))
        except Http404:
            errors["workflow"] = invalid(f"There is no workflow {value['workflow']}.", "unknown")


def get_schedule(user: Caller, id: str | UUID) -> WorkflowSchedule:
    """Raises Http404, or NotYours if it is another user's."""
    return get_visible(_schedules(), user, as_uuid(str(id)), "schedule")


def list_schedules(user: Caller, filters: Mapping[str, Any]) -> OwnedQuerySet[WorkflowSchedule]:
    """Filters: `owner` (a username or `all`, by default the user), `workflow` (a name)."""
    rows = owned_by(_schedules(), user, filters.get("owner", ""))
    return rows.filter(workflow__name=name) if (name := filters.get("workflow")) else rows


def _schedules() -> OwnedQuerySet[WorkflowSchedule]:
    return WorkflowSchedule.objects.select_related("owner", "workflow__owner").defer("workflow__payload")


def last_runs(schedules: Sequence[WorkflowSchedule]) -> dict[UUID, list[ScheduleRun]]:
    """For each schedule its last runs, newest first. One query."""
    number = Window(RowNumber(), partition_by=F("schedule_id"), order_by=F("id").desc())
    rows = ScheduleRun.objects.filter(schedule__in=schedules).annotate(number=number).filter(number__lte=RUNS_SHOWN)
    found: dict[UUID, list[ScheduleRun]] = {schedule.pk: [] for schedule in schedules}
    for run in rows.select_related("execution").defer("execution__payload").order_by("-id"):
        found[run.schedule_id].append(run)
    return found


@transaction.atomic
def create_schedule(user: User, workflow: SavedWorkflow, value: Mapping[str, Any]) -> WorkflowSchedule:
    """`value` is validated ScheduleOptions. `user` may see the workflow."""
    schedule = WorkflowSchedule(owner=user, workflow=workflow)
    _apply(schedule, value)
    _plan(schedule)
    schedule.save()
    record(user, "schedule.created", _object(schedule), {"workflow": workflow.name, **_shown(value)})
    _wind(schedule)
    return _schedules().get(pk=schedule.pk)


@transaction.atomic
def change_schedule(user: User, schedule: WorkflowSchedule, value: Mapping[str, Any]) -> WorkflowSchedule:
    """`value` is validated ScheduleOptions. New times, and the end of a pause, count from now."""
    locked = _locked(schedule)
    before = (locked.timing, locked.is_paused)
    _apply(locked, value)
    if (locked.timing, locked.is_paused) != before:
        _plan(locked)
    locked.save()
    record(user, "schedule.changed", _object(locked), {"workflow": locked.workflow.name, **_shown(value)})
    _wind(locked)
    return locked


@transaction.atomic
def delete_schedule(user: User, schedule: WorkflowSchedule) -> None:
    """Deletes a schedule. Its jobs stay."""
    record(user, "schedule.deleted", _object(schedule), {"workflow": schedule.workflow.name})
    stop_clock(_clock(schedule.pk))
    schedule.delete()


@transaction.atomic
def run_now(user: User, schedule: WorkflowSchedule, *, idempotency_key: str | None = None) -> WorkflowExecution:
    """Starts a job of the schedule's owner, whatever the rules on overlapping runs and pauses say."""
    locked = _locked(schedule)
    workflow = _visible_workflow(locked)
    if workflow is None:
        raise Http404(HIDDEN)
    actor = user.get_username()
    execution, is_new = run_workflow(locked.owner, workflow, {}, idempotency_key=idempotency_key, actor=actor)
    if is_new:
        _note(locked, ScheduleRun(outcome=RunOutcome.STARTED, execution=execution), actor=actor)
    return execution


@transaction.atomic
def fire(id: str) -> None:
    """Starts what is due. The schedule's clock calls it. An extra call does nothing."""
    # Changes and deletions of the schedule come before or after this transaction, never in between.
    schedule = _lock(UUID(id))
    if schedule is None:  # its workflow or its owner was deleted
        stop_clock(_clock(UUID(id)))
        return
    now = timezone.now()
    if schedule.next_run is not None and schedule.next_run <= now:
        due = schedule.next_run
        # In the transaction of the job: a due time is used up only together with what came of it.
        schedule.next_run = schedule.timing.next_after(now, due)
        schedule.save(update_fields=["next_run"])
        _come_due(schedule, ScheduleRun(due_at=due), is_missed=due < now - MISSED_AFTER)
    if (queued := _queued(schedule).first()) and not _is_busy(schedule):
        _start(schedule, queued)
    _wind(schedule)


def _come_due(schedule: WorkflowSchedule, run: ScheduleRun, *, is_missed: bool) -> None:
    if is_missed and schedule.missed == Missed.SKIP:
        run.outcome = RunOutcome.MISSED
        _note(schedule, run)
    elif schedule.overlap == Overlap.ALLOW or not (_is_busy(schedule) or _queued(schedule).exists()):
        _start(schedule, run)
    else:
        may_queue = schedule.overlap == Overlap.QUEUE and _queued(schedule).count() < MAX_QUEUED
        run.outcome = RunOutcome.QUEUED if may_queue else RunOutcome.SKIPPED
        _note(schedule, run)


def _start(schedule: WorkflowSchedule, run: ScheduleRun) -> None:
    """Starts the job, or notes why it cannot be started."""
    owner = schedule.owner
    workflow = _visible_workflow(schedule)
    run.at = timezone.now()
    run.outcome = RunOutcome.REFUSED
    if not owner.is_active:
        run.error = f"The user {owner.get_username()} is deactivated."
    elif workflow is None:
        run.error = HIDDEN
    else:
        try:
            with transaction.atomic():
                # In a savepoint: what a refused job has written is undone, and the note of the refusal is kept.
                run.execution, _ = run_workflow(owner, workflow, {}, actor=ACTOR)
            run.outcome = RunOutcome.STARTED
        except APIException as error:  # its mode or a tool is gone
            run.error = "; ".join(f"{found.attr}: {found.detail}" for found in flatten_errors(error.detail))[:2000]
    _note(schedule, run)


def _note(schedule: WorkflowSchedule, run: ScheduleRun, *, actor: str = ACTOR) -> None:
    """Stores a run with its audit event, and deletes the oldest ones."""
    run.schedule = schedule
    run.save()
    changes = {
        "workflow": schedule.workflow.name,
        "due": run.due_at.isoformat() if run.due_at else None,
        "jobId": str(run.execution_id) if run.execution_id else None,
        "error": run.error or None,
    }
    record(actor, f"schedule.{run.outcome}", _object(schedule), changes, execution_id=run.execution_id)
    settled = schedule.runs.exclude(outcome=RunOutcome.QUEUED).order_by("-id")
    if oldest := settled.values_list("pk", flat=True)[RUNS_KEPT : RUNS_KEPT + 1].first():
        # A run whose job is not finished is what overlapping runs are skipped for, however many those are.
        open_runs = _open_runs(schedule).values("pk")
        settled.filter(pk__lte=oldest).exclude(pk__in=open_runs).delete()


def _open_runs(schedule: WorkflowSchedule) -> QuerySet[ScheduleRun]:
    return schedule.runs.filter(execution__in=WorkflowExecution.objects.unfinished())


def _is_busy(schedule: WorkflowSchedule) -> bool:
    return _open_runs(schedule).exists()


def _queued(schedule: WorkflowSchedule) -> QuerySet[ScheduleRun]:
    return schedule.runs.filter(outcome=RunOutcome.QUEUED).order_by("id")


def _lock(id: UUID) -> WorkflowSchedule | None:
    return _schedules().select_for_update(of=("self",)).filter(pk=id).first()


def _locked(schedule: WorkflowSchedule) -> WorkflowSchedule:
    """Raises Http404 if it was deleted meanwhile."""
    found = _lock(schedule.pk)
    if found is None:
        raise Http404("There is no such schedule.")
    return found


def _visible_workflow(schedule: WorkflowSchedule) -> SavedWorkflow | None:
    """The schedule's workflow, None if the owner cannot see it any more."""
    return SavedWorkflow.objects.visible_to(schedule.owner).filter(pk=schedule.workflow_id).first()


def _apply(schedule: WorkflowSchedule, value: Mapping[str, Any]) -> None:
    for name in ("timezone", "overlap", "missed", "is_paused"):
        if name in value:
            setattr(schedule, name, value[name])
    if value.get("cron") or value.get("every_seconds"):
        schedule.cron, schedule.every_seconds = value.get("cron") or "", value.get("every_seconds")


def _plan(schedule: WorkflowSchedule) -> None:
    now = timezone.now()
    schedule.next_run = None if schedule.is_paused else schedule.timing.next_after(now, now.replace(microsecond=0))


def _wind(schedule: WorkflowSchedule) -> None:
    """Sets the clock to the next time at which there is something to do."""
    times = [schedule.next_run] if schedule.next_run else []
    if _queued(schedule).exists():
        times.append(timezone.now() + QUEUE_POLL)
    if times:
        set_clock(_clock(schedule.pk), FUNCTION, str(schedule.pk), min(times))
    else:
        stop_clock(_clock(schedule.pk))


def _clock(id: UUID) -> str:
    return f"workflow schedule {id}"


def _object(schedule: WorkflowSchedule) -> str:
    return f"schedule:{schedule.pk}"


def _shown(value: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they are written in the API, for the audit trail."""
    names = {"every_seconds": "everySeconds", "is_paused": "isPaused"}
    known = ("cron", "every_seconds", "timezone", "overlap", "missed", "is_paused")
    return {names.get(name, name): value[name] for name in known if name in value}
