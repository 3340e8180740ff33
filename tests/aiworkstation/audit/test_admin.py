"""The audit trail in the admin: its filters use indexes, and what passes them is exported."""

import csv
import io
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aiworkstation.audit import admin as audit_admin
from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.record import record
from tests.support.jobs import claim, fail, start_job

LIST = "/admin/audit/auditevent/"


@pytest.fixture
def admin(client: Client, charlie: User) -> Client:
    charlie.is_superuser = True
    charlie.save()
    client.force_login(charlie)
    return client


def exported(admin: Client, query: str = "") -> list[list[str]]:
    answer = admin.get(f"{LIST}export/{query}")
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def actions(admin: Client, query: str) -> list[str]:
    return [row[5] for row in exported(admin, query)[1:]]


def test_search(admin: Client, alice: User, bob: User) -> None:
    job = start_job(alice)
    fail(claim(job.pk)[0])
    start_job(bob)
    record(bob, "document.deleted", f"document:{uuid4()}", {})
    document = AuditEvent.objects.get(action="document.deleted").object
    assert {"job.queued", "step.started", "step.failed"} <= {*actions(admin, f"?q={job.pk}")}
    assert actions(admin, f"?q=job:{job.pk}") == actions(admin, f"?q={job.pk}")
    assert actions(admin, f"?q={document}") == ["document.deleted"]
    assert {*actions(admin, "?q=job.queued")} == {"job.queued"}
    assert actions(admin, "?q=bob") == ["document.deleted", "job.queued"]
    assert actions(admin, "?q=bo") == []
    assert actions(admin, "?q=step.failed") == [], "found by the job"
    assert actions(admin, "?action=document.deleted") == ["document.deleted"]


def test_links(admin: Client, alice: User) -> None:
    job = start_job(alice)
    assert f'<a href="/jobs/{job.pk}">job:{job.pk}</a>' in admin.get(LIST).content.decode()
    page = admin.get(f"/admin/workflows/workflowexecution/{job.pk}/change/").content.decode()
    assert f'href="{LIST}?q={job.pk}"' in page
    assert (
        f'href="/admin/workflows/workflowexecution/{job.pk}/change/"' in admin.get(f"/jobs/{job.pk}").content.decode()
    )
    assert f'href="{LIST}?q={job.pk}"' in admin.get(f"/jobs/{job.pk}/events").content.decode()


def test_links_to_the_admin_are_for_those_who_may_use_it(alice: User, at_alice: Client, at_charlie: Client) -> None:
    job = start_job(alice)
    for client in (at_alice, at_charlie):
        for path in (f"/jobs/{job.pk}", f"/jobs/{job.pk}/events"):
            assert "Open in the admin" not in client.get(path).content.decode()


def test_the_export(admin: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_admin, "BATCH", 2)
    for number in range(5):
        record(alice, "test.done", f"test:{number}", {"text": "=1+1, \u00e4"})
    header, *rows = exported(admin, "?action=test.done")
    assert header == ["id", "at", "actor", "channel", "address", "action", "object", "jobId", "changes"]
    assert [row[6] for row in rows] == [f"test:{number}" for number in (4, 3, 2, 1, 0)]
    assert rows[0][8] == '{"text": "=1+1, ä"}'
    event = AuditEvent.objects.get(action="audit.exported")
    assert (event.actor, event.changes) == ("charlie", {"filters": {"action": "test.done"}})


@pytest.mark.parametrize("query", ["?at__gte=x", "?color=red", "?actor__password__startswith=x", "?q=%00"])
def test_the_export_of_odd_filters(admin: Client, query: str) -> None:
    assert admin.get(f"{LIST}export/{query}").status_code in (302, 400)
    assert not AuditEvent.objects.filter(action="audit.exported").exists()


def test_who_may_export(alice: User, at_alice: Client, at_charlie: Client) -> None:
    assert at_alice.get(f"{LIST}export/").status_code == 302
    assert at_charlie.get(f"{LIST}export/").status_code == 403
    assert not AuditEvent.objects.filter(action="audit.exported").exists()


def test_nothing_reads_all_events(admin: Client, alice: User) -> None:
    """No count without a limit, no list of distinct values, and the indexes that the filters need."""
    start_job(alice)
    with CaptureQueriesContext(connection) as queries:
        for query in ("", "?q=alice", "?action=job.queued", f"?q={uuid4()}", "?at__gte=2026-01-01", "?_facets=True"):
            assert admin.get(f"{LIST}{query}").status_code in (200, 302)
    statements = [query["sql"] for query in queries if "audit_events" in query["sql"]]
    assert statements
    assert not [sql for sql in statements if "COUNT(" in sql and "LIMIT" not in sql]
    assert not [sql for sql in statements if "DISTINCT" in sql]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        for text, index in (
            ("alice", "audit_by_actor"),
            ("job.queued", "audit_by_action"),
            ("document:x", "audit_by_object"),
            (str(uuid4()), "audit_by_execution"),
        ):
            cursor.execute("SET LOCAL enable_indexscan = off" if index != "audit_by_execution" else "SELECT 1")
            plan = AuditEvent.objects.filter(audit_admin._matching(text)).order_by().explain()
            assert index in plan, plan


def test_a_long_list_says_that_it_is_cut(admin: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_admin, "MOST_COUNTED", 3)
    for _ in range(5):
        start_job(alice)
    assert admin.get(LIST).context["cl"].result_count == 3


def test_the_name_of_the_site(admin: Client) -> None:
    page = admin.get("/admin/").content.decode()
    assert "AI Workstation" in page
    assert "Django administration" not in page
    assert 'href="/jobs/"' in page
    assert "admin-site.css" in page
