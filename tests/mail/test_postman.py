"""Mails are sent once, whatever the server does, and however many processes send."""

import signal
import smtplib
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from pytest_django.fixtures import Settings

from aiworkstation.audit.models import AuditEvent
from mail import outbox
from mail.models import Mail, Purpose
from mail.outbox import quoted, subject_line
from mail.postman import DELAYS, Postman, lease_seconds
from tests.mail.conftest import only_mail, pass_time, reachable, send_due
from tests.servers.smtp_server import SmtpServer
from tests.support.processes import kill, manage, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def post(*addresses: str, body: str = "A body.") -> None:
    outbox.post(Purpose.ALERT, addresses or ["ops@example.com"], "Something happened", body)


def test_it_works(smtp: SmtpServer) -> None:
    post(body="Zeile mit ä\n" + "x" * 2000)
    assert send_due() == 1
    (received,) = smtp.mails
    assert (received.sender, received.recipients) == ("jobs@example.com", ["ops@example.com"])
    assert received.subject == "[AI Workstation] Something happened"
    assert received.body.split() == ["Zeile", "mit", "ä", "x" * 2000]
    assert received.message["Auto-Submitted"] == "auto-generated"
    mail = only_mail()
    assert (mail.next_try_at, mail.error, mail.tries) == (None, "", 1)
    assert mail.sent_at is not None
    assert send_due() == 0


def test_one_mail_for_each_address(smtp: SmtpServer) -> None:
    post("a@example.com", "b@example.com", "a@example.com")
    send_due()
    assert sorted(received.recipients[0] for received in smtp.mails) == ["a@example.com", "b@example.com"]


def test_without_a_mail_server_nothing_is_stored(db: None) -> None:
    post()
    assert not Mail.objects.exists()


def test_a_change_that_is_rolled_back_sends_nothing(smtp: SmtpServer) -> None:
    with transaction.atomic():
        post()
        transaction.set_rollback(True)
    assert send_due() == 0


def test_a_server_that_is_down_gets_it_later(smtp: SmtpServer, settings: Settings) -> None:
    settings.EMAIL_PORT = 1  # nothing listens there
    post()
    post()
    assert send_due() == 1, "the second mail is not tried on a server that is down"
    assert Mail.objects.exclude(error="").get().error.startswith("ConnectionRefusedError")
    settings.EMAIL_PORT = smtp.port
    pass_time(DELAYS[0])
    assert send_due() == 2
    assert len(smtp.mails) == 2


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RCPT", "450 try later"),
        ("MAIL", "451 busy"),
        ("DATA", "452 full"),
        ("CONNECT", "554 no service"),
        ("EHLO", ""),
    ],
)
def test_what_may_go_away_is_tried_again(smtp: SmtpServer, settings: Settings, command: str, answer: str) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    smtp.answers[command] = answer
    post()
    send_due()
    assert only_mail().next_try_at is not None
    assert only_mail().error
    smtp.answers.clear()
    pass_time(DELAYS[0])
    send_due()
    assert (len(smtp.mails), only_mail().error) == (1, "")


@pytest.mark.parametrize(("command", "answer"), [("RCPT", "550 nobody"), ("MAIL", "553 not you"), ("DATA", "554 spam")])
def test_what_the_server_refuses_is_given_up(smtp: SmtpServer, command: str, answer: str) -> None:
    smtp.answers[command] = answer
    post()
    send_due()
    mail = only_mail()
    assert (mail.next_try_at, mail.sent_at) == (None, None)
    assert answer[4:] in mail.error
    event = AuditEvent.objects.get(action="mail.given_up")
    assert (event.object, event.changes["address"]) == (f"mail:{mail.pk}", "ops@example.com")


def test_it_is_given_up_after_three_days(smtp: SmtpServer, settings: Settings) -> None:
    settings.EMAIL_PORT = 1
    post()
    send_due()
    pass_time(3 * 24 * 3600 + 1)
    send_due()
    assert only_mail().next_try_at is None
    assert AuditEvent.objects.filter(action="mail.given_up").exists()


@pytest.mark.parametrize("address", ["no address", "a@b@c", "x@example.com\nBcc: evil@example.com", ""])
def test_an_address_that_cannot_be_written(smtp: SmtpServer, address: str) -> None:
    smtp.answers["RCPT"] = "550 nobody"
    post(address, "good@example.com")
    smtp.answers.clear()
    send_due()
    send_due()
    recipients = [each for received in smtp.mails for each in received.recipients]
    assert "good@example.com" in recipients
    assert "evil@example.com" not in recipients


def test_several_processes_send_it_once(smtp: SmtpServer) -> None:
    for number in range(20):
        post(f"a{number}@example.com")
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        try:
            Postman().do()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(received.recipients[0] for received in smtp.mails) == sorted(f"a{n}@example.com" for n in range(20))


def test_a_process_that_dies_while_it_sends(smtp: SmtpServer, tmp_path: Path) -> None:
    """The server has the mail, but nobody noted it: it is sent again after the lease, not before, with the same id."""
    smtp.hangs_after_data = True
    post()
    url = f"{smtp.url}?_default_from_email=jobs@example.com"
    script = "from mail.postman import Postman; Postman().do()"
    with manage("shell", "-c", script, log=tmp_path / "log", EMAIL_URL=url) as process:
        wait_for(lambda: smtp.mails, what="the mail")
        kill(process.pid, signal.SIGKILL)
    smtp.hangs_after_data = False
    assert send_due() == 0
    pass_time(lease_seconds())
    assert send_due() == 1
    first, second = smtp.mails
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert only_mail().sent_at is not None


def test_one_that_lost_its_lease_notes_nothing(smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has sent the mail meanwhile: a late failure does not make it due again."""

    class Late(smtplib.SMTP):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            Mail.objects.update(tries=F("tries") + 1, next_try_at=None, sent_at=timezone.now())
            raise ConnectionRefusedError

    post()
    monkeypatch.setattr("smtplib.SMTP", Late)
    send_due()
    assert (only_mail().next_try_at, only_mail().error) == (None, "")


def test_no_password_without_the_tls_that_was_asked_for(smtp: SmtpServer, settings: Settings) -> None:
    """The test server offers no STARTTLS, like one whose offer was removed on the way."""
    settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = True, "user", "pa55word"
    post()
    send_due()
    assert "STARTTLS" in only_mail().error
    assert "pa55word" not in only_mail().error
    assert not any(line.upper().startswith("AUTH") for line in smtp.lines)
    assert smtp.mails == []


def test_old_mails_are_deleted(smtp: SmtpServer, settings: Settings) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"retention_days": 1})
    post()
    send_due()
    post()
    pass_time(25 * 3600)
    send_due()
    assert Mail.objects.count() == 1, "the one that is not sent yet stays"


def test_users_who_cannot_be_reached(smtp: SmtpServer, alice: User, bob: User) -> None:
    reachable(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    alice.refresh_from_db()
    for user in (alice, bob):
        outbox.post_to(user, Purpose.WEBHOOK, "x", "y")
    assert not Mail.objects.exists()


@pytest.mark.parametrize("text", ["a\r\nBcc: evil@example.com", "a\x00b", "a\u202eb", "\u200b", "x" * 5000])
def test_text_of_users_in_a_subject(text: str) -> None:
    line = subject_line(text)
    assert "\n" not in line
    assert "\r" not in line
    assert len(line) < 200
    assert line.isprintable()


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "one\rtwo", "\n\n", "a\u2028b", "a\x0bb\x0cc\x85d"])
def test_every_line_of_a_quoted_text_is_marked(text: str) -> None:
    assert all(line.startswith("  | ") for line in quoted(text, 100).splitlines())


def test_a_long_text_is_cut() -> None:
    shown: Any = quoted("x" * 10_000, 100)
    assert len(shown) < 200
    assert shown.endswith("(the rest is on the page)")
