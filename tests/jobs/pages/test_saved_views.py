"""Saved views of the job list, and suggestions for its filters."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from jobs.models import SavedView
from jobs.pages import saved_views
from tests.support.html import text
from tests.support.jobs import start_job


def save(client: Client, name: str = "Mine", **fields: str) -> Any:
    return client.post("/jobs/views", {"view-name": name, "status": "failed", "tag": "legal", **fields}, follow=True)


def test_it_works(alice: User, at_alice: Client) -> None:
    assert "Saved the view Mine." in text(save(at_alice))
    view = SavedView.objects.get()
    assert (view.owner, view.filters, view.is_shared) == (alice, {"status": "failed", "tag": "legal"}, False)
    page = text(at_alice.get("/jobs/"))
    assert 'href="/jobs/?status=failed&amp;tag=legal">Mine</a>' in page
    assert 'href="/jobs/?status=failed&amp;tag=legal" aria-current="page">Mine' in text(
        at_alice.get("/jobs/?tag=legal&status=failed")
    )
    assert "Deleted the view Mine." in text(at_alice.post(f"/jobs/views/{view.pk}/delete", follow=True))
    events = AuditEvent.objects.filter(object=f"view:{view.pk}").order_by("pk")
    assert list(events.values_list("action", flat=True)) == ["view.saved", "view.deleted"]


def test_the_same_name_replaces_it(at_alice: Client, at_bob: Client) -> None:
    save(at_alice)
    save(at_alice, status="completed", **{"view-is_shared": "on"})
    save(at_bob)
    assert SavedView.objects.count() == 2
    assert SavedView.objects.get(is_shared=True).filters["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "Name of the view: Fill in this field."),
        ({"name": "x" * 81}, "Name of the view: At most 80 characters"),
        ({"status": "lost"}, "There is no status lost."),
        ({"since": "today"}, "today is not a day."),
        ({"input": "x"}, "x is not a condition."),
    ],
)
def test_what_cannot_be_saved(at_alice: Client, fields: dict[str, str], message: str) -> None:
    assert message in text(save(at_alice, **fields))
    assert not SavedView.objects.exists()


def test_who_sees_and_deletes_a_view(at_alice: Client, at_bob: Client, at_charlie: Client) -> None:
    save(at_alice)
    view = SavedView.objects.get()
    for client in (at_bob, at_charlie):
        assert "Mine" not in text(client.get("/jobs/"))
    assert at_bob.post(f"/jobs/views/{view.pk}/delete").status_code == 404
    save(at_alice, **{"view-is_shared": "on"})
    page = text(at_bob.get("/jobs/"))
    assert "by alice" in page
    assert "Delete view Mine" not in page
    assert at_bob.post(f"/jobs/views/{view.pk}/delete").status_code == 404
    assert at_charlie.post(f"/jobs/views/{view.pk}/delete").status_code == 302


def test_there_is_a_limit(at_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST_OF_ONE_USER", 1)
    save(at_alice)
    assert "You have 1 views." in text(save(at_alice, "Another"))
    save(at_alice, status="completed")
    assert SavedView.objects.get().filters["status"] == "completed", "an own view may be replaced"


def test_shared_views_of_others_do_not_displace_own_ones(
    at_alice: Client, at_bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_views, "SHOWN", 1)
    for name in ("A", "B"):
        save(at_bob, name, **{"view-is_shared": "on"})
    save(at_alice, "Z")
    page = text(at_alice.get("/jobs/"))
    assert ("Delete view Z" in page, 'tag=legal">A' in page, 'tag=legal">B' in page) == (True, True, False)


def test_suggestions(alice: User, bob: User, at_alice: Client, at_bob: Client, at_charlie: Client) -> None:
    start_job(alice, tags=["legal", "<b>&"], projectId="Alpha")
    start_job(alice, tags=["legal"], projectId="beta")
    start_job(bob, tags=["secret"], projectId="gamma")

    def offered(client: Client, field: str, typed: str = "", **more: str) -> list[str]:
        page = text(client.get(f"/jobs/suggestions/{field}", {field: typed, **more}))
        return [part.partition('"')[0] for part in page.split('value="')[1:]]

    assert offered(at_alice, "project") == ["Alpha", "beta"]
    assert offered(at_alice, "project", "ALP") == ["Alpha"]
    assert offered(at_alice, "tag") == ["&lt;b&gt;&amp;", "legal"]
    assert offered(at_alice, "mode") == ["General"]
    assert offered(at_alice, "tag", "secret", of="all") == []
    assert offered(at_alice, "tag", of="bob") == []
    assert offered(at_charlie, "tag", "secret") == []
    assert offered(at_charlie, "tag", "secret", of="all") == ["secret"]
    assert offered(at_alice, "owner") == []
    assert offered(at_charlie, "owner", "b") == ["bob"]
    assert at_alice.get("/jobs/suggestions/payload").status_code == 404
