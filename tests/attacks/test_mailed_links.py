"""Attacks on the links that answer questions without signing in."""

import logging
import threading
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.mail.conftest import reachable, send_due
from tests.mail.conftest import smtp as smtp  # the fixture
from tests.servers.smtp_server import SmtpServer
from tests.support.mail import asked, key_in, post_questions
from workflows import engine
from workflows.models import WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def group(bob: User) -> Group:
    group = Group.objects.create(name="reviewers")
    group.user_set.add(reachable(bob))
    return group


@pytest.fixture
def step(alice: User, group: Group, smtp: SmtpServer) -> WorkflowStep:
    """A question to Bob: Alice, who owns it, has no address."""
    return asked(alice, group="reviewers")


@pytest.fixture
def key(step: WorkflowStep, smtp: SmtpServer) -> str:
    post_questions()
    send_due()
    return key_in(smtp.mails[0])


def answer(key: str, **form: Any) -> int:
    return int(Client().post("/answer", {"key": key, "decision": "approved", **form}).status_code)


def is_refused(key: str) -> bool:
    return Client().get("/answer", {"key": key}).status_code == 404 and answer(key) == 404


def is_waiting(step: WorkflowStep) -> bool:
    return WorkflowStep.objects.get(pk=step.pk).status == "waiting"


def test_the_key_works(step: WorkflowStep, key: str) -> None:
    assert answer(key) == 200
    assert not is_waiting(step)


@pytest.mark.parametrize("method", ["get", "head"])
def test_reading_answers_nothing(step: WorkflowStep, key: str, method: str) -> None:
    """Programs that check mails follow each link, also with parameters of their own."""
    for _ in range(3):
        call = getattr(Client(), method)
        assert call("/answer", {"key": key, "decision": "approved"}).status_code == 200
    assert is_waiting(step)


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_other_methods(step: WorkflowStep, key: str, method: str) -> None:
    assert getattr(Client(), method)(f"/answer?key={key}&decision=approved").status_code == 405
    assert is_waiting(step)


def test_a_key_in_the_address_of_a_post_is_none(step: WorkflowStep, key: str) -> None:
    assert Client().post(f"/answer?key={key}", {"decision": "approved"}).status_code == 404
    assert is_waiting(step)


def test_it_is_used_once(step: WorkflowStep, key: str) -> None:
    assert answer(key) == 200
    assert is_refused(key)
    assert AuditEvent.objects.filter(action="step.approved").count() == 1


def test_two_answers_at_once(step: WorkflowStep, key: str) -> None:
    barrier, statuses = threading.Barrier(2), list[int]()

    def run(decision: str) -> None:
        barrier.wait()
        try:
            statuses.append(answer(key, decision=decision))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(decision,)) for decision in ("approved", "rejected")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) in ([200, 404], [200, 409])
    assert AuditEvent.objects.filter(action__in=["step.approved", "step.rejected"]).count() == 1


def test_a_deactivated_user(step: WorkflowStep, key: str, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert is_refused(key)


def test_a_user_who_left_the_group(step: WorkflowStep, key: str, bob: User, group: Group) -> None:
    group.user_set.remove(bob)
    assert is_refused(key)


def test_a_deleted_user(step: WorkflowStep, key: str, bob: User) -> None:
    bob.delete()
    assert is_refused(key)


@pytest.mark.parametrize("change", [{"email": "new@example.com"}, {"password": "another hash"}])
def test_a_user_whose_address_or_password_changed(
    step: WorkflowStep, key: str, bob: User, change: dict[str, str]
) -> None:
    User.objects.filter(pk=bob.pk).update(**change)
    assert is_refused(key)


def test_after_the_time_is_up(step: WorkflowStep, key: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_steps SET answer_by = clock_timestamp() WHERE answer_by IS NOT NULL")
    assert is_refused(key)


def test_after_the_job_was_cancelled(step: WorkflowStep, key: str) -> None:
    engine.cancel(step.execution_id, actor="alice")
    assert is_refused(key)


def test_another_step(alice: User, step: WorkflowStep, key: str, smtp: SmtpServer) -> None:
    other = asked(alice, group="reviewers")
    user, _, signature = key.split(".")
    assert is_refused(f"{user}.{other.pk.hex}.{signature}")
    assert is_waiting(other)


def test_another_user(alice: User, charlie: User, step: WorkflowStep, key: str) -> None:
    _, id, signature = key.split(".")
    for user in (alice, charlie):
        assert is_refused(f"{user.pk}.{id}.{signature}")


def test_a_key_signed_with_another_secret(step: WorkflowStep, key: str, settings: Any) -> None:
    settings.SECRET_KEY = "another-one-" + 50 * "y"
    assert is_refused(key)
    settings.SECRET_KEY_FALLBACKS = ["of-the-tests-alone-" + 40 * "x"]
    assert not is_refused(key)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "A",
        lambda key: key + "\n",
        lambda key: key.replace(".", ":"),
        lambda key: key.swapcase(),
        lambda key: "9" * 30 + key,
        lambda key: "٣" + key,
        lambda key: "0" + key,
        lambda key: key + "\0",
        lambda key: "x" * 100_000,
        lambda key: key.rpartition(".")[0] + "." + "A" * 43,
        lambda key: key.rpartition(".")[0] + "." + "ä" * 43,
    ],
)
def test_odd_keys(step: WorkflowStep, key: str, change: Any) -> None:
    odd = change(key)
    response = Client().post("/answer", {"key": odd, "decision": "approved"})
    if odd == "0" + key:  # the same number
        assert response.status_code == 200
        return
    assert response.status_code == 404
    assert Client().get("/answer", {"key": odd[:2000]}).status_code == 404
    assert is_waiting(step)


def test_every_refusal_looks_the_same(step: WorkflowStep, key: str, bob: User) -> None:
    nonsense = Client().get("/answer", {"key": "nonsense"}).content
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert Client().get("/answer", {"key": key}).content == nonsense


def test_it_opens_nothing_else(step: WorkflowStep, key: str) -> None:
    client = Client()
    client.post("/answer", {"key": key, "decision": "approved"})
    assert "sessionid" not in client.cookies
    assert client.get("/jobs/").status_code == 302
    assert client.get(f"/jobs/{step.execution_id}").status_code == 302
    assert Client(headers={"authorization": f"Bearer {key}"}).get("/api/jobs").status_code == 401


def test_another_session_does_not_count(step: WorkflowStep, key: str, at_charlie: Client) -> None:
    assert "You answer as bob" in at_charlie.get("/answer", {"key": key}).content.decode()
    at_charlie.post("/answer", {"key": key, "decision": "approved"})
    event = AuditEvent.objects.get(action="step.approved")
    assert (event.actor, event.channel) == ("bob", "mail")


def test_nothing_keeps_or_passes_on_the_address(step: WorkflowStep, key: str) -> None:
    for response in (Client().get("/answer", {"key": key}), Client().get("/answer", {"key": "nonsense"})):
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response.headers["Cache-Control"]
        assert response.headers["X-Frame-Options"] == "DENY"
        assert "Set-Cookie" not in response.headers


def test_the_key_is_in_no_log_and_no_audit_event(
    step: WorkflowStep, key: str, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(raise_request_exception=False)
    client.get("/answer", {"key": key})
    client.delete(f"/answer?key={key}")
    client.post("/answer", {"key": key, "decision": "perhaps"})
    client.post("/answer", {"key": key, "decision": "approved"})
    client.post("/answer", {"key": key, "decision": "approved"})
    signature = key.rpartition(".")[2]
    assert signature not in caplog.text
    assert not any(signature in str(event.changes) + event.object for event in AuditEvent.objects.all())


def test_markup_in_the_question(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice, question="<script>alert(1)</script>", show={"x": "</textarea><script>"})
    post_questions()
    send_due()
    page = Client().get("/answer", {"key": key_in(smtp.mails[0])}).content.decode()
    assert "<script>alert" not in page
    assert "</textarea><script>" not in page
