"""Rules, a mail server, and looks at what is wrong."""

import time
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from aiworkstation.audit.models import AuditCursor, AuditEvent
from alerts.models import AlertRule, Kind
from alerts.watch import Watch
from mail.models import Mail
from tests.mail.conftest import smtp as smtp  # the fixture
from tests.servers.smtp_server import SmtpServer
from workflows.models import Worker

OPS = "ops@example.com"


@pytest.fixture
def ops(smtp: SmtpServer, settings: Settings) -> SmtpServer:
    """A mail server, with ALERT_EMAIL set."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"alert_email": [OPS]})
    return smtp


def rule_for(kind: Kind, **fields: Any) -> AlertRule:
    """A rule whose alerts are over at once."""
    watch_all()  # begins at the end of the audit trail
    return AlertRule.objects.create(**{"name": str(kind), "kind": kind, "calm_seconds": 0, **fields})


def watch_all(watch: Watch | None = None) -> None:
    """Looks until every audit event was read. Other tests' transactions on the server delay it."""
    watch, deadline = watch or WATCH, time.monotonic() + 240
    last = AuditEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    while True:
        watch.do()
        cursor = AuditCursor.objects.filter(pk="alerts").first()
        if cursor and cursor.last_id >= last:
            return
        assert time.monotonic() < deadline, "a transaction has been open too long"
        time.sleep(0.02)


WATCH = Watch()
"""One of the tests' own, so that it keeps the duty."""


def subjects() -> list[str]:
    """Of the mails, oldest first, without the name of the site."""
    return [mail.subject.partition("] ")[2] for mail in Mail.objects.order_by("created_at", "id")]


def alive_worker() -> Worker:
    return Worker.objects.create(kind="runner", host="h", pid=1, slots=1, sizes={"async": 1})


def age(table: str, column: str, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = {column} - %s * interval '1 second'", [seconds])
