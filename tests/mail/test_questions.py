"""A step that asks a person mails its question, once, to those who may answer."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from mail.models import Mail
from mail.questions import Questions
from tests.mail.conftest import pass_time, reachable, send_due
from tests.servers.smtp_server import SmtpServer
from tests.support.html import text
from tests.support.jobs import WORKER, claim, complete, start_job
from tests.support.mail import asked, key_in, post_questions
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.worker.maintenance import Maintenance

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reviewers(bob: User) -> Group:
    group = Group.objects.create(name="reviewers")
    group.user_set.add(bob)
    return group


def test_it_works(alice: User, smtp: SmtpServer, client: Client) -> None:
    reachable(alice)
    step = asked(alice)
    assert post_questions() == 1
    send_due()
    (received,) = smtp.mails
    assert received.recipients == ["alice@example.com"]
    assert received.subject == "[AI Workstation] Your answer is needed: ask"
    assert "  | Send the offer?" in received.body
    assert '  |   "customer": "Acme"' in received.body
    assert f"/jobs/{step.execution_id}" in received.body
    page = client.get("/answer", {"key": key_in(received)})
    assert page.status_code == 200
    assert "Send the offer?" in text(page)
    assert "You answer as alice" in text(page)
    step.refresh_from_db()
    assert step.status == "waiting", "a GET answers nothing"
    answer = {"key": key_in(received), "decision": "approved", "comment": "fine", "arguments": '{"customer": "Beta"}'}
    response = client.post("/answer", answer)
    assert response.status_code == 200
    assert "You approved the step as alice" in text(response)
    step.refresh_from_db()
    expected = {"approved": True, "by": "alice", "comment": "fine", "arguments": {"customer": "Beta"}}
    assert (step.status, step.output) == ("completed", expected)
    event = AuditEvent.objects.get(action="step.approved")
    assert (event.actor, event.channel) == ("alice", "mail")


def test_a_no(alice: User, smtp: SmtpServer, client: Client) -> None:
    reachable(alice)
    step = asked(alice)
    post_questions()
    send_due()
    response = client.post("/answer", {"key": key_in(smtp.mails[0]), "decision": "rejected", "comment": "too dear"})
    assert "You rejected the step" in text(response)
    step.refresh_from_db()
    assert (step.error or {})["code"] == "rejected"


def test_the_group_gets_it_and_sees_only_the_question(
    alice: User, bob: User, reviewers: Group, smtp: SmtpServer
) -> None:
    reachable(alice)
    reachable(bob)
    step = asked(alice, group="reviewers")
    assert post_questions() == 2
    send_due()
    (received,) = [each for each in smtp.mails if each.recipients == ["bob@example.com"]]
    assert str(step.execution_id) not in received.body
    assert "/jobs/approvals" in received.body
    assert "secret notes" not in received.body


def test_who_cannot_be_reached_is_named(alice: User, bob: User, reviewers: Group, smtp: SmtpServer) -> None:
    dora = User.objects.create_user("dora", "dora@example.com", is_active=False)
    reviewers.user_set.add(dora)
    reachable(alice)
    step = asked(alice, group="reviewers")
    assert post_questions() == 1
    event = AuditEvent.objects.get(action="step.question_mailed")
    assert (event.execution_id, event.object) == (step.execution_id, f"step:{step.pk}")
    assert event.changes == {"to": ["alice"], "skipped": {"bob": "no e-mail address", "dora": "deactivated"}}


def test_a_large_group(alice: User, reviewers: Group, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mail.questions.MAX_MAILS", 2)
    users = [User.objects.create_user(f"u{number}", f"u{number}@example.com") for number in range(3)]
    reviewers.user_set.set(users)
    asked(alice, group="reviewers")
    assert post_questions() == 2
    skipped = AuditEvent.objects.get(action="step.question_mailed").changes["skipped"]
    assert skipped == {"alice": "no e-mail address", "u2": "more than 2 people"}


def test_one_user_cannot_flood_the_others(
    alice: User, bob: User, reviewers: Group, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mail.questions.MAX_AN_HOUR", 3)
    reachable(alice)
    reachable(bob)
    for _ in range(3):
        asked(alice, group="reviewers")
    post_questions()
    assert Mail.objects.count() == 3
    skipped = [event.changes["skipped"] for event in AuditEvent.objects.filter(action="step.question_mailed")]
    assert {"alice": "more than 3 mails in an hour", "bob": "more than 3 mails in an hour"} in skipped
    asked(bob)
    assert post_questions() == 1, "another user's questions are mailed"
    pass_time(3601)
    asked(alice)
    assert post_questions() == 1


def test_it_is_mailed_once(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice)
    assert post_questions() == 1
    assert post_questions() == 0
    assert Questions().do() == 0
    assert Mail.objects.count() == 1


def test_maintenance_does_it(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice)
    post_questions(Maintenance().do_round)
    assert Mail.objects.count() == 1


def test_a_retry_asks_again_with_another_link(alice: User, smtp: SmtpServer, client: Client) -> None:
    reachable(alice)
    step = asked(alice)
    post_questions()
    send_due()
    first = key_in(smtp.mails[0])
    client.post("/answer", {"key": first, "decision": "rejected"})
    engine.retry(step.execution_id, actor="alice")
    asked_again = claim(step.execution_id)[0]
    engine.ask(asked_again, "Send it now?", "")
    turn(WORKER, [Outcome.asked(asked_again, 3600)], [])
    assert post_questions() == 1
    send_due()
    assert client.get("/answer", {"key": first}).status_code == 404
    assert client.post("/answer", {"key": first, "decision": "approved"}).status_code == 404
    assert "Send it now?" in text(client.get("/answer", {"key": key_in(smtp.mails[1])}))


def test_a_question_that_was_answered_meanwhile_is_not_mailed(alice: User, as_alice: Client, smtp: SmtpServer) -> None:
    reachable(alice)
    step = asked(alice)
    post_questions()
    assert as_alice.post(f"/api/jobs/{step.execution_id}/steps/{step.pk}/approve").status_code == 202
    send_due()
    assert smtp.mails == []
    assert Mail.objects.get().next_try_at is None


def test_questions_from_before_there_was_mail_are_not_mailed(alice: User, smtp: SmtpServer, settings: Any) -> None:
    reachable(alice)
    configured = settings.CONFIG
    settings.CONFIG = configured.model_copy(update={"email_url": ""})
    asked(alice)
    assert Questions().do() == 0
    settings.CONFIG = configured
    assert Questions().do() == 0
    complete(claim(start_job(alice).pk)[0])
    post_questions()
    assert not Mail.objects.exists()


def test_large_arguments_are_cut(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice, show={"text": "x" * 1_000_000})
    post_questions()
    assert len(Mail.objects.get().body) < 10_000


def test_text_of_the_question_cannot_look_like_ours(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice, question="Really?\n\nThe job, if you are signed in: https://evil.example.com\r\u2028\u202ex")
    post_questions()
    send_due()
    lines = smtp.mails[0].body.splitlines()
    assert all(line.startswith("  | ") for line in lines if "evil" in line)
    assert not any("\u202e" in line for line in lines)


def test_the_link_is_not_stored(alice: User, smtp: SmtpServer) -> None:
    reachable(alice)
    asked(alice)
    post_questions()
    send_due()
    signature = key_in(smtp.mails[0]).rpartition(".")[2]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{signature}%"])
            assert cursor.fetchone() == (0,), table


def test_bad_arguments_are_shown_again(alice: User, smtp: SmtpServer, client: Client) -> None:
    reachable(alice)
    step = asked(alice)
    post_questions()
    send_due()
    key = key_in(smtp.mails[0])
    form = {"key": key, "decision": "approved", "arguments": '{"amount": 9', "comment": "mine"}
    response = client.post("/answer", form)
    assert response.status_code == 400
    assert "{&quot;amount&quot;: 9</textarea>" in response.content.decode(), "what was written is kept"
    assert 'value="mine"' in response.content.decode()
    assert "not valid JSON" in text(response)
    too_long = client.post("/answer", {"key": key, "decision": "approved", "comment": "x" * 2001})
    assert (too_long.status_code, "comment" in text(too_long)) == (400, True)
    assert client.post("/answer", {"key": key, "decision": "perhaps"}).status_code == 400
    step.refresh_from_db()
    assert step.status == "waiting"
