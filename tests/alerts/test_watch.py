"""Each kind of alert: one message when it begins, one when it is over."""

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from aiworkstation.audit.models import AuditEvent
from alerts import episodes
from alerts.conditions import Finding
from alerts.models import Alert, AlertRule, Kind
from alerts.watch import LEASE_SECONDS, Watch
from jobs.models import WorkflowSchedule
from jobs.saved_workflows import save_workflow
from jobs.schedules import change_schedule, create_schedule, delete_schedule, fire
from mail.models import Mail
from tests.alerts.conftest import OPS, age, alive_worker, rule_for, subjects, watch_all
from tests.mail.conftest import send_due
from tests.servers.smtp_server import SmtpServer
from tests.support.jobs import BODY, claim, complete_all, fail, start_job
from workflows import engine
from workflows.models import Pause, Worker, WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)


def failed_job(user: User) -> WorkflowExecution:
    job = start_job(user)
    fail(claim(job.pk)[0])
    return job


def completed_job(user: User) -> WorkflowExecution:
    job = start_job(user)
    complete_all(job)
    return job


class TestFailedJobs:
    def test_it_works(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        job = failed_job(alice)
        failed_job(alice)
        watch_all()
        failed_job(alice)
        watch_all()
        assert subjects() == ["Alert: A job of the type workflow failed"]
        send_due()
        (received,) = ops.mails
        assert received.recipients == [OPS]
        assert f"/jobs/{job.pk}" in received.body
        completed_job(alice)
        watch_all()
        watch_all()
        assert subjects() == ["Alert: A job of the type workflow failed", "Over: A job of the type workflow failed"]
        alert = Alert.objects.get()
        assert (alert.outcome, alert.addresses) == ("A job of this type was completed.", [OPS])
        started, resolved = AuditEvent.objects.filter(object=f"alert:{alert.pk}").order_by("id")
        assert (started.action, resolved.action) == ("alert.started", "alert.resolved")
        assert resolved.changes["startedAt"] == started.changes["startedAt"]

    def test_it_begins_again_after_its_end(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        for _ in range(2):
            failed_job(alice)
            watch_all()
            completed_job(alice)
            watch_all()
        assert [subject.partition(":")[0] for subject in subjects()] == ["Alert", "Over", "Alert", "Over"]

    def test_what_is_gone_at_the_next_look_is_reported(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        job = failed_job(alice)
        engine.retry(job.pk, actor="alice")
        complete_all(job)
        watch_all()
        assert [subject.partition(":")[0] for subject in subjects()] == ["Alert", "Over"]

    def test_what_comes_and_goes_is_one_alert(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED, calm_seconds=600)
        for _ in range(3):
            failed_job(alice)
            watch_all()
            completed_job(alice)
            watch_all()
        assert len(subjects()) == 1
        age("alerts", "wrong_at", 601)
        watch_all()
        assert len(subjects()) == 2

    def test_another_type(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED, job_type="bulk-documents")
        failed_job(alice)
        watch_all()
        assert subjects() == []

    def test_each_type_has_its_own(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        failed_job(alice)
        other = start_job(alice)
        WorkflowExecution.objects.filter(pk=other.pk).update(job_type="nightly")
        fail(claim(other.pk)[0])
        watch_all()
        assert sorted(Alert.objects.values_list("subject", flat=True)) == ["nightly", "workflow"]

    def test_failures_from_before_the_rule(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.OLDEST_DUE, limit=10_000)
        failed_job(alice)
        AlertRule.objects.create(name="later", kind=Kind.JOB_FAILED)
        watch_all()
        assert subjects() == []

    def test_jobs_that_deliver_webhooks_do_not_count(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        job = start_job(alice)
        WorkflowExecution.objects.filter(pk=job.pk).update(job_type="webhook-delivery")
        fail(claim(job.pk)[0])
        watch_all()
        assert subjects() == []


class TestFailureShare:
    def test_it_works(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.FAILURE_SHARE, limit=50, least_jobs=4)
        for _ in range(3):
            failed_job(alice)
        watch_all()
        assert subjects() == [], "too few jobs"
        completed_job(alice)
        watch_all()
        watch_all()
        assert subjects() == ["Alert: 3 of 4 jobs failed"]
        for _ in range(2):
            completed_job(alice)
        watch_all()
        assert subjects()[1:] == ["Over: 3 of 4 jobs failed"], "exactly the limit is not above it"

    def test_older_jobs_do_not_count(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.FAILURE_SHARE, limit=0, least_jobs=1, window_seconds=60)
        failed_job(alice)
        age("workflow_executions", "finished_at", 61)
        watch_all()
        assert subjects() == []

    def test_of_one_type(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.FAILURE_SHARE, limit=0, least_jobs=1, job_type="workflow")
        failed_job(alice)
        watch_all()
        assert subjects() == ["Alert: 1 of 1 jobs of the type workflow failed"]


class TestOldestDue:
    def test_it_works(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.OLDEST_DUE, limit=600)
        job = start_job(alice)
        watch_all()
        assert subjects() == []
        age("workflow_executions", "wake_at", 601)
        watch_all()
        watch_all()
        assert subjects() == ["Alert: The oldest due job has waited for 10 minutes"]
        engine.cancel(job.pk, actor="alice")
        watch_all()
        assert subjects()[1:] == ["Over: The oldest due job has waited for 10 minutes"]

    def test_a_pause_is_named(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.OLDEST_DUE, limit=600)
        Pause.objects.create(by="ops")
        Pause.objects.create(by="ops", kind="tool", name="HTTP_REQUEST")
        start_job(alice)
        age("workflow_executions", "wake_at", 601)
        watch_all()
        body = " ".join(Mail.objects.get().body.split())
        assert "All work is paused since" in body
        assert "The tool HTTP_REQUEST is paused since" in body


class TestNoWorker:
    def test_it_works(self, db: None, ops: SmtpServer) -> None:
        watch = Watch()
        age("workflow_duties", "lease_until", 2 * LEASE_SECONDS)
        rule = rule_for_no_worker()
        watch.do()
        assert subjects() == [], "this process has only begun to look"
        AlertRule.objects.filter(pk=rule.pk).update(limit=0)
        watch.do()
        watch.do()
        assert subjects() == ["Alert: No worker is alive"]
        alive_worker()
        watch.do()
        watch.do()
        assert subjects()[1:] == ["Over: No worker is alive"]

    def test_one_that_stopped_responding(self, db: None, ops: SmtpServer) -> None:
        watch = Watch()
        age("workflow_duties", "lease_until", 2 * LEASE_SECONDS)
        rule_for_no_worker(limit=0)
        alive_worker()
        watch.do()
        assert subjects() == []
        age("workflow_workers", "last_beat", 60)
        watch.do()
        watch.do()
        assert subjects() == ["Alert: No worker is alive"]
        assert Worker.objects.exists()


def rule_for_no_worker(**fields: Any) -> AlertRule:
    return AlertRule.objects.create(name="none", kind=Kind.NO_WORKER, calm_seconds=0, **{"limit": 3600, **fields})


class TestMissedSchedules:
    @pytest.fixture
    def schedule(self, alice: User) -> WorkflowSchedule:
        workflow = save_workflow(alice, {"name": "report", "payload": BODY["payload"]})
        return create_schedule(alice, workflow, {"every_seconds": 3600})

    def test_nobody_runs_it(self, alice: User, ops: SmtpServer, schedule: WorkflowSchedule) -> None:
        """It is seen before any worker is back, and ends with the next run."""
        rule_for(Kind.MISSED_SCHEDULE)
        watch_all()
        assert subjects() == []
        age("workflow_schedules", "next_run", 3600 + 301)
        watch_all()
        assert subjects() == ["Alert: The schedule of the workflow report missed a due time"]
        fire(str(schedule.pk))
        watch_all()
        assert len(subjects()) == 1, "it is back, but has not run yet"
        schedule.refresh_from_db()
        assert schedule.next_run is not None
        age("workflow_schedules", "next_run", (schedule.next_run - timezone.now()).total_seconds() + 1)
        fire(str(schedule.pk))
        watch_all()
        assert subjects()[1:] == ["Over: The schedule of the workflow report missed a due time"]

    def test_it_was_missed_between_two_looks(self, ops: SmtpServer, schedule: WorkflowSchedule) -> None:
        rule_for(Kind.MISSED_SCHEDULE)
        age("workflow_schedules", "next_run", 3600 + 301)
        fire(str(schedule.pk))
        watch_all()
        assert subjects() == ["Alert: The schedule of the workflow report missed a due time"]

    def test_its_job_cannot_be_started(self, alice: User, ops: SmtpServer, schedule: WorkflowSchedule) -> None:
        rule_for(Kind.MISSED_SCHEDULE)
        User.objects.filter(pk=alice.pk).update(is_active=False)
        age("workflow_schedules", "next_run", 3600)
        fire(str(schedule.pk))
        watch_all()
        assert "deactivated" in Mail.objects.get().body

    @pytest.mark.parametrize("is_deleted", [True, False])
    def test_it_is_paused_or_deleted(
        self, alice: User, ops: SmtpServer, schedule: WorkflowSchedule, is_deleted: bool
    ) -> None:
        rule_for(Kind.MISSED_SCHEDULE)
        age("workflow_schedules", "next_run", 3600 + 301)
        watch_all()
        if is_deleted:
            delete_schedule(alice, schedule)
        else:
            change_schedule(alice, schedule, {"is_paused": True})
        watch_all()
        assert len(subjects()) == 2


class TestRules:
    def test_muted_deleted_and_changed_rules_end_their_alerts(self, alice: User, ops: SmtpServer) -> None:
        rules = [rule_for(Kind.JOB_FAILED, name=name) for name in "abc"]
        failed_job(alice)
        watch_all()
        AlertRule.objects.filter(name="a").update(is_muted=True)
        rules[1].delete()
        AlertRule.objects.filter(name="c").update(job_type="bulk-documents")
        watch_all()
        watch_all()
        outcomes = set(Alert.objects.values_list("outcome", flat=True))
        assert outcomes == {"The rule was muted.", "The rule was deleted.", "The rule was changed."}
        assert len(subjects()) == 6
        failed_job(alice)
        watch_all()
        assert len(subjects()) == 6

    def test_addresses_of_a_rule(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED, addresses=["a@example.com", "b@example.com"])
        failed_job(alice)
        watch_all()
        assert sorted(Mail.objects.values_list("address", flat=True)) == ["a@example.com", "b@example.com"]
        AlertRule.objects.update(addresses=["c@example.com"])
        completed_job(alice)
        watch_all()
        over = Mail.objects.filter(subject__contains="Over:").values_list("address", flat=True)
        assert sorted(over) == ["a@example.com", "b@example.com"], "who got the beginning gets the end"

    def test_a_rule_without_mail(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED, sends_mail=False)
        failed_job(alice)
        watch_all()
        assert Alert.objects.exists()
        assert subjects() == []

    def test_without_a_mail_server(self, alice: User, settings: Settings) -> None:
        rule_for(Kind.JOB_FAILED)
        failed_job(alice)
        watch_all()
        assert Alert.objects.get().addresses == []


def test_an_outage_of_many_schedules_is_not_as_many_mails(
    alice: User, ops: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.episodes.MAX_OPEN", 2)
    rule_for(Kind.MISSED_SCHEDULE, name="late")
    workflow = save_workflow(alice, {"name": "report", "payload": BODY["payload"]})
    schedules = [create_schedule(alice, workflow, {"every_seconds": 3600}) for _ in range(5)]
    age("workflow_schedules", "next_run", 3600 + 301)
    watch_all()
    watch_all()
    assert len(subjects()) == 3
    assert subjects()[2] == "Alert: More alerts of the rule: late"
    for schedule in schedules:
        delete_schedule(alice, schedule)
    watch_all()
    watch_all()
    assert len(subjects()) == 6
    assert not Alert.objects.open().exists()


class TestSeveralProcesses:
    def test_one_message_each(self, db: None, ops: SmtpServer) -> None:
        """All notice the same at the same time, without the duty that lets only one look."""
        rule = AlertRule.objects.create(name="x", kind=Kind.NO_WORKER)
        in_threads(lambda: episodes.begin(rule, Finding("", "wrong")))
        assert subjects() == ["Alert: wrong"]
        alert = Alert.objects.get()
        in_threads(lambda: episodes.resolve(alert, "right"))
        assert subjects() == ["Alert: wrong", "Over: wrong"]
        assert AuditEvent.objects.filter(action__startswith="alert.").count() == 2

    def test_only_one_looks(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        failed_job(alice)
        other = Watch()
        other.do()
        assert subjects() == []
        age("workflow_duties", "lease_until", LEASE_SECONDS + 1)
        watch_all(other)
        assert len(subjects()) == 1

    def test_a_process_that_dies_in_between(
        self, alice: User, ops: SmtpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The alert, its messages and the place in the audit trail are one transaction."""
        rule_for(Kind.JOB_FAILED)
        failed_job(alice)
        with monkeypatch.context() as patch:
            patch.setattr("alerts.episodes.outbox.post", lambda *a: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                watch_all()
        assert not Alert.objects.exists()
        assert not AuditEvent.objects.filter(action="alert.started").exists()
        watch_all()
        assert len(subjects()) == 1

    def test_a_change_that_is_rolled_back(self, alice: User, ops: SmtpServer) -> None:
        rule_for(Kind.JOB_FAILED)
        with transaction.atomic():
            failed_job(alice)
            transaction.set_rollback(True)
        watch_all()
        assert subjects() == []


def in_threads(call: Any, number: int = 8) -> None:
    barrier, errors = threading.Barrier(number), list[BaseException]()

    def run() -> None:
        barrier.wait()
        try:
            call()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
