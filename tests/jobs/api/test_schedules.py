"""/api/schedules: when saved workflows run by themselves"""

from datetime import datetime, timedelta
from itertools import pairwise
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage

from aiworkstation.audit.models import AuditEvent
from aiworkstation.web.serializers import wire_time
from jobs import schedules
from jobs.models import RunOutcome, ScheduleRun, WorkflowSchedule
from jobs.saved_workflows import change_workflow, get_workflow, save_workflow
from jobs.schedules import MISSED_AFTER, create_schedule, fire
from tests.support.jobs import complete_all
from workflows.models import Mode, WorkflowExecution

PAYLOAD: dict[str, Any] = {"workflowName": "Report", "steps": [{"name": "One"}]}
SECOND = timedelta(seconds=1)


def errors(response: Any) -> dict[str | None, str]:
    assert response.status_code == 400, response.content
    return {error["attr"]: error["code"] for error in response.json()["errors"]}


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/schedules", {"workflow": "report"} | body, "application/json")


def patch(client: Client, id: str, **body: Any) -> Any:
    return client.patch(f"/api/schedules/{id}", body, "application/json")


@pytest.fixture
def report(alice: User) -> None:
    save_workflow(alice, {"name": "report", "payload": PAYLOAD})


def make(owner: User, **options: Any) -> WorkflowSchedule:
    """Every hour."""
    return create_schedule(owner, get_workflow(owner, "report"), {"every_seconds": 3600} | options)


def make_due(schedule: WorkflowSchedule, *, ago: timedelta = SECOND) -> datetime:
    due = timezone.now() - ago
    WorkflowSchedule.objects.filter(pk=schedule.pk).update(next_run=due)
    return due


def fire_due(schedule: WorkflowSchedule, *, ago: timedelta = SECOND) -> None:
    make_due(schedule, ago=ago)
    fire(str(schedule.pk))


def outcomes(schedule: WorkflowSchedule) -> list[str]:
    return list(schedule.runs.order_by("id").values_list("outcome", flat=True))


def finish(*jobs: WorkflowExecution) -> None:
    for job in jobs or WorkflowExecution.objects.all():
        complete_all(job)


def test_it_works(report: None, as_alice: Client) -> None:
    response = post(as_alice, cron="0  9 * * mon-fri", timezone="Europe/Berlin")
    assert response.status_code == 201, response.content
    made = response.json()
    assert response["Location"] == f"/api/schedules/{made['scheduleId']}"
    assert {name: made[name] for name in made if name not in ("scheduleId", "createdAt", "nextRuns")} == {
        "owner": "alice",
        "workflow": "report",
        "workflowOwner": "alice",
        "cron": "0 9 * * mon-fri",
        "everySeconds": None,
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "missed": "skip",
        "isPaused": False,
        "lastRuns": [],
    }
    assert len(made["nextRuns"]) == 5
    assert made["nextRuns"] == sorted(made["nextRuns"])
    assert {each[14:] for each in made["nextRuns"]} == {"00:00.000Z"}
    read = as_alice.get(response["Location"])
    assert (read.json(), read["ETag"]) == (made, response["ETag"])
    assert as_alice.get("/api/schedules").json() == {"schedules": [made], "nextCursor": None}
    schedule = WorkflowSchedule.objects.get()
    fire_due(schedule)
    (job,) = as_alice.get("/api/jobs").json()["jobs"]
    assert (job["workflow"], job["workflowVersion"], job["name"]) == ("report", 1, "Report")
    after = as_alice.get(response["Location"]).json()
    (run,) = after["lastRuns"]
    assert (run["jobId"], run["status"], run["error"]) == (job["jobId"], "queued", None)
    assert after["nextRuns"] == made["nextRuns"]
    finish()
    assert as_alice.get(response["Location"]).json()["lastRuns"][0]["status"] == "completed"


def test_an_interval(report: None, as_alice: Client) -> None:
    made = post(as_alice, everySeconds=90).json()
    assert (made["cron"], made["everySeconds"], made["timezone"]) == (None, 90, "UTC")
    times = [datetime.fromisoformat(each) for each in made["nextRuns"]]
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(seconds=90)] * 4


@pytest.mark.django_db(transaction=True)  # the scheduler closes the connection first
def test_django_q2s_scheduler_calls_it(alice: User, report: None) -> None:
    schedule = make(alice)
    clock = Schedule.objects.get(func="jobs.schedules.fire")
    assert clock.next_run == schedule.next_run
    assert clock.func in settings.SCHEDULED_FUNCTIONS
    make_due(schedule)
    Schedule.objects.filter(pk=clock.pk).update(next_run=timezone.now() - SECOND)
    OrmQ.objects.all().delete()
    scheduler(get_broker())
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (task["func"], task["save"]) == ("jobs.schedules.fire", False)
    clock.refresh_from_db()
    assert clock.next_run <= timezone.now() + timedelta(minutes=1)  # if this call is lost, the next one comes soon
    fire(*task["args"])
    schedule.refresh_from_db()
    clock.refresh_from_db()
    assert clock.next_run == schedule.next_run
    assert outcomes(schedule) == ["started"]


def test_an_extra_call_does_nothing(report: None, alice: User) -> None:
    schedule = make(alice)
    fire_due(schedule)
    fire(str(schedule.pk))
    assert WorkflowExecution.objects.count() == 1
    fire(str(uuid4()))


@pytest.mark.django_db(transaction=True)
def test_one_job_for_a_due_time(alice: User, report: None) -> None:
    schedule = make(alice, overlap="allow")
    for _ in range(5):
        due, barrier = make_due(schedule), Barrier(4)

        def call(barrier: Barrier = barrier) -> None:
            barrier.wait()
            fire(str(schedule.pk))
            connection.close()

        threads = [Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ScheduleRun.objects.filter(due_at=due).count() == 1
    assert WorkflowExecution.objects.count() == 5


def test_the_database_refuses_a_second_run_for_a_time(report: None, alice: User) -> None:
    schedule = make(alice)
    now = timezone.now()
    ScheduleRun.objects.create(schedule=schedule, due_at=now, outcome=RunOutcome.SKIPPED)
    with pytest.raises(IntegrityError), transaction.atomic():
        ScheduleRun.objects.create(schedule=schedule, due_at=now, outcome=RunOutcome.SKIPPED)


def test_overlapping_runs_are_skipped(report: None, alice: User) -> None:
    schedule = make(alice)
    fire_due(schedule)
    fire_due(schedule)
    assert outcomes(schedule) == ["started", "skipped"]
    finish()
    fire_due(schedule)
    assert outcomes(schedule) == ["started", "skipped", "started"]
    assert WorkflowExecution.objects.count() == 2


def test_overlapping_runs_are_allowed(report: None, alice: User) -> None:
    schedule = make(alice, overlap="allow")
    fire_due(schedule)
    fire_due(schedule)
    assert outcomes(schedule) == ["started", "started"]


def test_overlapping_runs_are_queued(report: None, as_alice: Client, alice: User, monkeypatch: Any) -> None:
    schedule = make(alice, overlap="queue")
    fire_due(schedule)
    fire_due(schedule)
    fire_due(schedule)
    assert outcomes(schedule) == ["started", "queued", "queued"]
    queued = as_alice.get(f"/api/schedules/{schedule.pk}").json()["lastRuns"][0]
    assert (queued["jobId"], queued["status"]) == (None, "queued")
    clock = Schedule.objects.get(func="jobs.schedules.fire")
    assert clock.next_run < timezone.now() + timedelta(seconds=10)
    fire(str(schedule.pk))
    assert WorkflowExecution.objects.count() == 1
    for number in (2, 3):
        finish()
        fire(str(schedule.pk))
        fire(str(schedule.pk))
        assert WorkflowExecution.objects.count() == number
    assert outcomes(schedule) == ["started", "started", "started"]
    schedule.refresh_from_db()
    clock.refresh_from_db()
    assert clock.next_run == schedule.next_run
    monkeypatch.setattr(schedules, "MAX_QUEUED", 1)
    fire_due(schedule)
    fire_due(schedule)
    assert outcomes(schedule)[3:] == ["queued", "skipped"]


def test_missed_times_are_skipped(report: None, alice: User) -> None:
    schedule = make(alice)
    fire_due(schedule, ago=timedelta(hours=5, minutes=6))
    assert outcomes(schedule) == ["missed"]
    schedule.refresh_from_db()
    assert schedule.next_run is not None
    assert timezone.now() < schedule.next_run <= timezone.now() + timedelta(hours=1)
    fire_due(schedule, ago=MISSED_AFTER - 10 * SECOND)
    assert outcomes(schedule) == ["missed", "started"]


def test_missed_times_are_one_run(report: None, alice: User) -> None:
    schedule = make(alice, missed="once")
    fire_due(schedule, ago=timedelta(days=2))
    fire(str(schedule.pk))
    assert outcomes(schedule) == ["started"]
    schedule.refresh_from_db()
    assert schedule.next_run is not None
    assert schedule.next_run > timezone.now()


def test_pause(report: None, as_alice: Client, alice: User) -> None:
    schedule = make(alice)
    id = str(schedule.pk)
    paused = patch(as_alice, id, isPaused=True).json()
    assert (paused["isPaused"], paused["nextRuns"]) == (True, [])
    assert not Schedule.objects.filter(func="jobs.schedules.fire").exists()
    fire(id)
    assert outcomes(schedule) == []
    resumed = patch(as_alice, id, isPaused=False).json()
    assert len(resumed["nextRuns"]) == 5
    assert resumed["nextRuns"][0] > wire_time(timezone.now())
    assert Schedule.objects.filter(func="jobs.schedules.fire").exists()


def test_change(report: None, as_alice: Client, alice: User) -> None:
    id = str(make(alice).pk)
    kept = patch(as_alice, id, overlap="queue", missed="once").json()
    assert (kept["overlap"], kept["missed"], kept["everySeconds"]) == ("queue", "once", 3600)
    changed = patch(as_alice, id, cron="0 0 1 1 *", timezone="Europe/Berlin").json()
    assert (changed["cron"], changed["everySeconds"]) == ("0 0 1 1 *", None)
    assert changed["nextRuns"][0].endswith("-12-31T23:00:00.000Z")
    clock = Schedule.objects.get(func="jobs.schedules.fire")
    assert wire_time(clock.next_run) == changed["nextRuns"][0]
    assert patch(as_alice, id, everySeconds=60, cron=None).json()["everySeconds"] == 60
    assert patch(as_alice, id).status_code == 200


def test_run_now(report: None, as_alice: Client, as_charlie: Client, alice: User) -> None:
    schedule = make(alice, is_paused=True)
    response = as_alice.post(f"/api/schedules/{schedule.pk}/run")
    assert (response.status_code, response["Location"]) == (202, response.json()["url"])
    (run,) = as_alice.get(f"/api/schedules/{schedule.pk}").json()["lastRuns"]
    assert (run["jobId"], run["status"]) == (response.json()["jobId"], "queued")
    job = as_charlie.post(f"/api/schedules/{schedule.pk}/run").json()["url"]
    assert as_charlie.get(job).json()["owner"] == "alice"
    assert errors(as_alice.post(f"/api/schedules/{schedule.pk}/run", {"a": 1}, "application/json")) == {"a": "unknown"}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"cron": "required"}),
        ({"cron": "* * * * *", "everySeconds": 60}, {"everySeconds": "invalid"}),
        ({"cron": None}, {"cron": "required"}),
        ({"cron": "60 * * * *"}, {"cron": "invalid"}),
        ({"cron": "* * * * * *"}, {"cron": "invalid"}),
        ({"cron": 5}, {"cron": "invalid"}),
        ({"everySeconds": 0}, {"everySeconds": "min_value"}),
        ({"everySeconds": 10**9}, {"everySeconds": "max_value"}),
        ({"everySeconds": "60"}, {"everySeconds": "invalid"}),
        ({"everySeconds": 60, "timezone": "Mars/Base"}, {"timezone": "unknown"}),
        ({"everySeconds": 60, "timezone": "../../etc/passwd"}, {"timezone": "unknown"}),
        ({"everySeconds": 60, "overlap": "wait"}, {"overlap": "invalid_choice"}),
        ({"everySeconds": 60, "missed": "all"}, {"missed": "invalid_choice"}),
        ({"everySeconds": 60, "isPaused": 1}, {"isPaused": "invalid"}),
        ({"everySeconds": 60, "foo": 1}, {"foo": "unknown"}),
        ({"everySeconds": 60, "workflow": "none"}, {"workflow": "unknown"}),
        ({"everySeconds": 60, "workflow": "No!"}, {"workflow": "invalid"}),
        ({"everySeconds": 60, "workflowOwner": "bob"}, {"workflow": "unknown"}),
    ],
)
def test_bad_requests(report: None, as_alice: Client, alice: User, body: dict[str, Any], wrong: dict[str, str]) -> None:
    assert errors(post(as_alice, **body)) == wrong
    assert not WorkflowSchedule.objects.exists()
    if body and not any(name.startswith("workflow") for name in body):
        schedule = make(alice)
        assert errors(patch(as_alice, str(schedule.pk), **body)) == wrong


def test_the_workflow_of_a_schedule_stays(report: None, as_alice: Client, alice: User) -> None:
    assert errors(patch(as_alice, str(make(alice).pk), workflow="report")) == {"workflow": "unknown"}


def test_others_see_nothing(
    report: None, as_alice: Client, as_bob: Client, as_charlie: Client, alice: User, bob: User
) -> None:
    id = str(make(alice).pk)
    path = f"/api/schedules/{id}"
    assert as_bob.get(path).status_code == 404
    assert patch(as_bob, id, isPaused=True).status_code == 404
    assert as_bob.delete(path).status_code == 404
    assert as_bob.post(f"{path}/run").status_code == 404
    assert as_bob.get("/api/schedules?owner=all").json()["schedules"] == []
    assert errors(post(as_bob, everySeconds=60)) == {"workflow": "unknown"}
    assert as_charlie.get("/api/schedules").json()["schedules"] == []
    assert len(as_charlie.get("/api/schedules?owner=all").json()["schedules"]) == 1
    assert patch(as_charlie, id, isPaused=True).status_code == 200
    assert as_alice.get("/api/schedules/none").status_code == 404
    assert Client().get(path).status_code == 401
    assert AuditEvent.objects.filter(action="request.refused", object=f"schedule:{id}").count() == 4


def test_a_schedule_for_a_shared_workflow(report: None, as_bob: Client, alice: User, bob: User) -> None:
    """Its jobs are Bob's. When Alice no longer shares it, the last run of his schedule shows this."""
    workflow = change_workflow(alice, get_workflow(alice, "report"), {"is_shared": True})
    made = post(as_bob, everySeconds=60, workflowOwner="alice").json()
    assert (made["workflowOwner"], made["owner"]) == ("alice", "bob")
    schedule = WorkflowSchedule.objects.get()
    fire_due(schedule)
    assert WorkflowExecution.objects.get().owner == bob
    finish()
    change_workflow(alice, workflow, {"is_shared": False})
    fire_due(schedule)
    assert outcomes(schedule) == ["started", "refused"]
    assert "cannot see its workflow" in as_bob.get(f"/api/schedules/{schedule.pk}").json()["lastRuns"][0]["error"]
    assert as_bob.post(f"/api/schedules/{schedule.pk}/run").status_code == 404


def test_a_run_that_cannot_start(as_alice: Client, alice: User) -> None:
    mode = Mode.objects.create(name="Passing")
    save_workflow(alice, {"name": "report", "payload": PAYLOAD | {"mode": "Passing"}})
    schedule = make(alice)
    mode.delete()
    fire_due(schedule)
    (run,) = as_alice.get(f"/api/schedules/{schedule.pk}").json()["lastRuns"]
    assert (run["jobId"], run["status"]) == (None, "refused")
    assert "There is no mode Passing" in run["error"]
    assert errors(as_alice.post(f"/api/schedules/{schedule.pk}/run")) == {"payload.mode": "unknown"}
    Mode.objects.create(name="Passing")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    fire_due(schedule)
    assert outcomes(schedule) == ["refused", "refused"]
    assert not WorkflowExecution.objects.exists()


def test_it_runs_the_newest_version(report: None, alice: User) -> None:
    schedule = make(alice)
    change_workflow(alice, get_workflow(alice, "report"), {"payload": PAYLOAD | {"workflowName": "New"}})
    fire_due(schedule)
    job = WorkflowExecution.objects.get()
    assert (job.name, job.workflow_version) == ("New", 2)


def test_delete(report: None, as_alice: Client, alice: User) -> None:
    schedule, other = make(alice), make(alice)
    fire_due(schedule)
    assert as_alice.delete(f"/api/schedules/{schedule.pk}").status_code == 204
    assert Schedule.objects.filter(func="jobs.schedules.fire").count() == 1
    assert WorkflowExecution.objects.count() == 1
    assert as_alice.delete("/api/workflows/report").status_code == 204
    assert not WorkflowSchedule.objects.exists()
    fire(str(other.pk))  # its clock goes off once more
    assert not Schedule.objects.filter(func="jobs.schedules.fire").exists()


def test_only_the_newest_runs_are_kept(report: None, as_alice: Client, alice: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(schedules, "RUNS_KEPT", 3)
    schedule = make(alice, overlap="allow")
    for _ in range(5):
        fire_due(schedule)
        finish()
    assert schedule.runs.count() == 3
    monkeypatch.setattr(schedules, "RUNS_SHOWN", 2)
    assert len(as_alice.get(f"/api/schedules/{schedule.pk}").json()["lastRuns"]) == 2


def test_a_run_that_is_not_finished_is_kept(report: None, alice: User, monkeypatch: Any) -> None:
    """Otherwise a long job would be forgotten after so many skipped runs, and another one would start."""
    monkeypatch.setattr(schedules, "RUNS_KEPT", 3)
    schedule = make(alice)
    for _ in range(8):
        fire_due(schedule)
    assert outcomes(schedule) == ["started", "skipped", "skipped", "skipped"]
    assert WorkflowExecution.objects.count() == 1


def test_lists(report: None, as_alice: Client, alice: User) -> None:
    save_workflow(alice, {"name": "other", "payload": PAYLOAD})
    ids = [str(make(alice).pk) for _ in range(3)]
    create_schedule(alice, get_workflow(alice, "other"), {"every_seconds": 60})
    found = as_alice.get("/api/schedules?workflow=report&limit=2").json()
    assert [each["scheduleId"] for each in found["schedules"]] == ids[:0:-1]
    rest = as_alice.get(f"/api/schedules?workflow=report&cursor={found['nextCursor']}").json()
    assert [each["scheduleId"] for each in rest["schedules"]] == ids[:1]
    tag = as_alice.get("/api/schedules")["ETag"]
    assert as_alice.get("/api/schedules", headers={"If-None-Match": tag}).status_code == 304
    assert errors(as_alice.get("/api/schedules?foo=1")) == {"foo": "unknown"}


def test_changes_are_audited(report: None, as_alice: Client) -> None:
    id = post(as_alice, everySeconds=3600).json()["scheduleId"]
    fire_due(WorkflowSchedule.objects.get())
    job = str(WorkflowExecution.objects.get().pk)
    patch(as_alice, id, isPaused=True)
    as_alice.delete(f"/api/schedules/{id}")
    found = AuditEvent.objects.filter(object=f"schedule:{id}").order_by("id")
    assert [(event.actor, event.action) for event in found] == [
        ("alice", "schedule.created"),
        ("schedule", "schedule.started"),
        ("alice", "schedule.changed"),
        ("alice", "schedule.deleted"),
    ]
    assert found[0].changes == {"workflow": "report", "everySeconds": 3600}
    assert found[1].changes["jobId"] == job
    assert found[2].changes == {"workflow": "report", "isPaused": True}
    events = as_alice.get(f"/api/jobs/{job}/events").json()["events"]
    assert [event["action"] for event in events] == ["job.queued", "schedule.started"]
    assert {event["actor"] for event in events} == {"schedule"}
