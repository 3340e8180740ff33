"""Sends the mails that are due.

1. Claim one: set its next try to the end of a lease. Other processes do not see it until then.
2. Send it, outside transactions: a slow server holds up nothing else.
3. Note the result, if the lease is still ours: `tries` tells.

If the process dies between 2 and 3, the mail is sent again when the lease ends. Every try has the same `Message-ID`.
"""

import logging
import smtplib
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.utils import timezone

from aiworkstation.audit.record import record
from aiworkstation.ops.mail_server import DEFAULT_TIMEOUT
from mail import links
from mail.models import Mail, Purpose
from mail.outbox import is_configured

logger = logging.getLogger(__name__)

ACTOR = "mail"
ANSWERS = 12
"""How many answers of the server one mail needs at most. The lease lasts for as many timeouts."""
DELAYS = (10, 30, 60, 300, 900, 1800, 3600)
"""Seconds before each further try. The last one repeats."""
MOST = 200
"""Mails that one call sends."""
PRUNE_EVERY = timedelta(hours=1)
FINAL = range(500, 600)
"""SMTP's answers that repeating does not change."""

_CLAIM = """
UPDATE mails SET tries = tries + 1, next_try_at = clock_timestamp() + %s * interval '1 second'
WHERE id = (
  SELECT id FROM mails WHERE next_try_at <= clock_timestamp() ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


class Undeliverable(Exception):
    """No further try can succeed. The message says why."""


class Postman:
    """A side duty (`settings.SIDE_DUTIES`), in several processes at once."""

    seconds = 5.0

    def __init__(self) -> None:
        self._pruned_at: datetime | None = None

    def do(self) -> int:
        """Sends what is due. Returns the number of tries."""
        self._prune()
        if not is_configured():
            return 0
        tried = 0
        while tried < MOST and (mail := _claim()):
            tried += 1
            if not _try(mail):
                break  # the server is down: the others wait for the next call
        return tried

    def _prune(self) -> None:
        now, days = timezone.now(), settings.CONFIG.retention_days
        if not days or (self._pruned_at and now - self._pruned_at < PRUNE_EVERY):
            return
        self._pruned_at = now
        Mail.objects.filter(next_try_at=None, created_at__lt=now - timedelta(days=days)).delete()


def lease_seconds() -> float:
    return ANSWERS * float(settings.EMAIL_TIMEOUT or DEFAULT_TIMEOUT)


def _claim() -> Mail | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [lease_seconds()])
        row = cursor.fetchone()
    return Mail.objects.select_related("user").get(pk=row[0]) if row else None


def _try(mail: Mail) -> bool:
    """Returns False if the server cannot be used now."""
    try:
        _send(mail)
    except Undeliverable as error:
        _give_up(mail, str(error))
    except (OSError, ImproperlyConfigured) as error:  # smtplib's own errors are OSErrors
        _postpone(mail, _reason(error))
        return False
    except Exception as error:  # a mail that cannot be handled must not hold up the others
        logger.exception("the mail %s", mail.pk)
        _postpone(mail, _reason(error))
    else:
        _note(mail, next_try_at=None, sent_at=timezone.now(), error="")
    return True


def _send(mail: Mail) -> None:
    """Raises Undeliverable. Other errors may go away."""
    body = mail.body
    if mail.purpose == Purpose.QUESTION:
        link = links.link_for(mail)
        if link is None:
            raise Undeliverable("The question was answered or withdrawn, or the user may not answer it any more.")
        body = f"{body}\n{link}\n"
    try:
        server: BaseEmailBackend = get_connection()
        server.send_messages([_message(mail, body)])
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        if all(code in FINAL for code in codes):
            raise Undeliverable(_reason(error)) from error
        raise
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        if error.smtp_code in FINAL:
            raise Undeliverable(_reason(error)) from error
        raise
    except ValueError as error:  # an address or a header that cannot be written
        raise Undeliverable(_reason(error)) from error


def _message(mail: Mail, body: str) -> EmailMessage:
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    headers = {"Message-ID": f"<{mail.pk.hex}@{domain}>", "Auto-Submitted": "auto-generated"}
    return EmailMessage(mail.subject, body, to=[mail.address], headers=headers)


def _postpone(mail: Mail, reason: str) -> None:
    now = timezone.now()
    if now - mail.created_at > Mail.PATIENCE:
        _give_up(mail, reason)
        return
    delay = DELAYS[min(mail.tries, len(DELAYS)) - 1]
    _note(mail, next_try_at=now + timedelta(seconds=delay), error=reason)
    logger.warning("the mail %s was not sent, and is tried again in %d s: %s", mail.pk, delay, reason)


@transaction.atomic
def _give_up(mail: Mail, reason: str) -> None:
    if _note(mail, next_try_at=None, error=reason):
        changes = {"purpose": mail.purpose, "address": mail.address, "subject": mail.subject, "reason": reason}
        record(ACTOR, "mail.given_up", f"mail:{mail.pk}", changes)
        logger.warning("the mail %s is not sent: %s", mail.pk, reason)


def _note(mail: Mail, **changes: object) -> bool:
    """Returns False if the lease has ended and another process has the mail."""
    return bool(Mail.objects.filter(pk=mail.pk, tries=mail.tries).update(**changes))


def _reason(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    password = settings.EMAIL_HOST_PASSWORD
    return (text.replace(password, "…") if password else text)[:500]
