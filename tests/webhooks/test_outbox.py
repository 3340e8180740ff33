"""A committed change starts one delivery for each webhook. A change that is rolled back starts none."""

import json
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from standardwebhooks.webhooks import Webhook as Verifier

from aiworkstation.audit.models import AuditEvent
from documents.models import Document
from tests.support.documents import index, upload
from tests.support.jobs import WORKER, claim, complete_all, fail, start_job
from tests.support.turns import turn
from tests.webhooks.conftest import Endpoint, delivery_jobs, do_rounds, drain, hook, in_transactions, send_all
from webhooks import manage, signing
from webhooks.models import Delivery
from webhooks.outbox import Outbox
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.worker.maintenance import Maintenance

pytestmark = in_transactions


def types() -> list[str]:
    return list(Delivery.objects.order_by("event_id").values_list("type", flat=True))


def messages(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [json.loads(body) for body in endpoint.bodies]


def test_it_works(alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    job = start_job(alice, tags=["monthly"])
    complete_all(job, {"text": "the result"})
    assert drain() == 1
    send_all()
    (request,) = endpoint.requests
    body = request["body"]
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "job.completed"
    event = AuditEvent.objects.get(action="job.completed", execution_id=job.pk)
    assert body["timestamp"] == event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = body["data"]
    assert (data["jobId"], data["status"], data["tags"]) == (str(job.pk), "completed", ["monthly"])
    assert data["progress"]["percent"] == 100
    assert not {"output", "payload", "steps"} & data.keys()
    Verifier(signing.secret_of(webhook)).verify(endpoint.bodies[0], request["headers"])
    delivery = Delivery.objects.with_status().get()
    assert request["headers"]["webhook-id"] == delivery.message_id
    assert delivery.status == "delivered"


def test_every_type(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    fail(claim(start_job(alice).pk)[0])
    engine.cancel(start_job(alice).pk, actor="alice")
    index(alice, upload(alice))
    drain()
    assert types() == ["job.completed", "job.failed", "job.cancelled", "document.indexed"]


def test_a_document(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint, types=["document.indexed", "document.failed"])
    document = index(alice, upload(alice))
    drain()
    send_all()
    (message,) = messages(endpoint)
    assert (message["type"], message["data"]["uid"]) == ("document.indexed", str(document.uid))
    assert message["data"]["status"] == "indexed"


def test_a_job_that_waits_for_an_answer_but_not_for_a_delay(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint, types=["job.waiting"])
    fail(claim(start_job(alice).pk)[0], retryable=True)
    asking = start_job(alice)
    turn(WORKER, [Outcome.handed_over(claim(asking.pk)[0], 60)], [])
    assert AuditEvent.objects.filter(action="job.waiting").count() == 2
    drain()
    send_all()
    assert [message["data"]["jobId"] for message in messages(endpoint)] == [str(asking.pk)]


def test_filters(alice: User, bob: User, endpoint: Endpoint) -> None:
    for fields in ({"types": ["job.failed"]}, {"project_id": "p1"}, {"tag": "legal"}, {"is_paused": True}):
        hook(alice, endpoint, **fields)
    hook(bob, endpoint)
    complete_all(start_job(alice))
    complete_all(start_job(alice, projectId="p1"))
    complete_all(start_job(alice, projectId="p2", tags=["legal", "other"]))
    drain()
    found = Delivery.objects.order_by("event_id").values_list("webhook__project_id", "webhook__tag")
    assert list(found) == [("p1", ""), ("", "legal")]


def test_events_before_the_webhook_are_not_sent(alice: User, endpoint: Endpoint) -> None:
    complete_all(start_job(alice))
    first = hook(alice, endpoint)
    assert drain() == 0
    complete_all(start_job(alice))
    second = hook(alice, endpoint)
    assert drain() == 1
    assert first.deliveries.count() == 1
    assert not second.deliveries.exists()


def test_a_rolled_back_change_is_not_sent(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    job = start_job(alice)
    with transaction.atomic():
        engine.cancel(job.pk, actor="alice")
        transaction.set_rollback(True)
    assert drain() == 0
    engine.cancel(job.pk, actor="alice")
    assert drain() == 1


def test_a_transaction_that_commits_late_is_not_missed(alice: User, endpoint: Endpoint) -> None:
    """Its event has a smaller id than one that is committed before."""
    hook(alice, endpoint)
    early, late = start_job(alice), start_job(alice)
    outbox = Outbox()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO audit_events (actor, action, object, execution_id, changes)"
                " VALUES ('alice', 'job.cancelled', %s, %s, '{\"status\": \"cancelled\"}')",
                [f"job:{late.pk}", late.pk],
            )
            engine.cancel(early.pk, actor="alice")
            for _ in range(3):
                assert outbox.do() == 0
            cursor.execute("COMMIT")
        assert drain(outbox) == 2
        assert drain(outbox) == 0
    finally:
        other.close()


def test_a_worker_that_dies_while_it_starts_deliveries(
    alice: User, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(alice, endpoint)
    for _ in range(3):
        complete_all(start_job(alice))
    real, started = engine.start, []

    def dies(*arguments: Any, **named: Any) -> Any:
        started.append(real(*arguments, **named))
        if len(started) == 2:
            raise KeyboardInterrupt
        return started[-1]

    with monkeypatch.context() as patch:
        patch.setattr(engine, "start", dies)
        with pytest.raises(KeyboardInterrupt):
            drain()
    assert delivery_jobs() == []
    assert drain() == 3
    assert drain() == 0
    assert len(delivery_jobs()) == Delivery.objects.count() == 3


def test_two_processes_make_no_delivery_twice(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    assert sorted([drain(Outbox()), drain(Outbox())]) == [0, 1]


def test_many_events(alice: User, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more than one transaction processes."""
    monkeypatch.setattr("aiworkstation.audit.follower.BATCH", 2)
    monkeypatch.setattr("aiworkstation.audit.follower.WINDOW", 5)
    hook(alice, endpoint)
    for _ in range(5):
        engine.cancel(start_job(alice).pk, actor="alice")
    outbox = Outbox()
    assert drain(outbox) == 5
    assert drain(outbox) == 0


def test_deliveries_cause_no_webhooks(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    drain()
    send_all()
    assert AuditEvent.objects.filter(action="job.completed").count() == 2
    assert drain() == 0


def test_delivery_jobs_are_listed_only_on_request(alice: User, as_alice: Client, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    job = start_job(alice)
    complete_all(job)
    drain()
    listed = [each["jobId"] for each in as_alice.get("/api/jobs?status=all").json()["jobs"]]
    assert listed == [str(job.pk)]
    (delivery,) = as_alice.get("/api/jobs?type=webhook-delivery").json()["jobs"]
    assert delivery["name"] == f"job.completed to {endpoint.place}"
    assert "WEBHOOK_DELIVERY" not in str(as_alice.get("/api/tools").json())


def test_a_step_of_a_user_cannot_name_the_tool(as_alice: Client) -> None:
    steps = [{"name": "x", "tool": "WEBHOOK_DELIVERY", "arguments": {"deliveryId": "x"}}]
    body = {"jobType": "workflow", "payload": {"workflowName": "w", "steps": steps}}
    assert as_alice.post("/api/jobs", body, "application/json").status_code == 400


def test_without_webhooks_it_is_one_query(alice: User) -> None:
    complete_all(start_job(alice))
    with CaptureQueriesContext(connection) as queries:
        assert Outbox().do() == 0
    assert len(queries) == 1


def test_a_deleted_job_causes_no_message(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    gone, job = start_job(alice), start_job(alice)
    for each in (gone, job):
        engine.cancel(each.pk, actor="alice")
    engine.delete(gone.pk, actor="alice")
    assert drain() == 1


def test_users_who_may_not_sign_in_get_no_messages(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    User.objects.update(is_active=False)
    assert drain() == 0


def test_the_status_is_that_of_the_event(alice: User, endpoint: Endpoint) -> None:
    """The job may change before the message is created."""
    hook(alice, endpoint)
    job = start_job(alice)
    fail(claim(job.pk)[0])
    engine.retry(job.pk, actor="alice")
    drain()
    send_all()
    (message,) = messages(endpoint)
    assert (message["type"], message["data"]["status"]) == ("job.failed", "failed")


def test_placeholders_of_secrets_are_sent_as_they_are(
    alice: User, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_NAME", "hidden value")
    hook(alice, endpoint)
    payload = {"workflowName": "w {{secret.NAME}}", "steps": [{"name": "One"}]}
    complete_all(start_job(alice, payload=payload))
    drain()
    send_all()
    (message,) = messages(endpoint)
    assert message["data"]["name"] == "w {{secret.NAME}}"


def test_deleting_the_webhook_deletes_its_deliveries(alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    complete_all(start_job(alice))
    drain()
    manage.delete(alice, webhook)
    (job,) = send_all()
    assert (job.status, endpoint.requests) == ("failed", [])
    assert not Delivery.objects.exists()
    assert "webhook_deleted" in str(job.steps.get().error)


def test_old_deliveries_are_deleted(alice: User, endpoint: Endpoint, settings: Any) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    outbox = Outbox()
    drain(outbox)
    settings.CONFIG = settings.CONFIG.model_copy(update={"retention_days": 1})
    drain(Outbox())
    assert Delivery.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhook_deliveries SET created_at = created_at - interval '25 hours'")
    drain(Outbox())
    assert Delivery.objects.exists(), "it is still to be sent"
    send_all()
    drain(Outbox())
    assert not Delivery.objects.exists()


def test_documents_of_other_users(alice: User, bob: User, endpoint: Endpoint) -> None:
    hook(bob, endpoint)
    index(alice, upload(alice))
    drain()
    assert Document.objects.exists()
    assert not Delivery.objects.exists()


def test_maintenance_does_it(alice: User, endpoint: Endpoint) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    do_rounds()
    assert len(delivery_jobs()) == 1


def test_a_defect_here_does_not_stop_maintenance(
    alice: User, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook(alice, endpoint)
    complete_all(start_job(alice))
    with monkeypatch.context() as patch:
        patch.setattr("webhooks.outbox._deliver", lambda events: 1 / 0)
        maintenance, deadline = Maintenance(), time.monotonic() + 60
        while "ZeroDivisionError" not in caplog.text and time.monotonic() < deadline:
            maintenance.do_round()
    assert "ZeroDivisionError" in caplog.text
    assert drain() == 1, "nothing is lost"
