"""The page of the workers, for staff."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import WORKER, claim, start_job
from workflows.models import Pause, Worker


@pytest.fixture
def worker(db: None) -> Worker:
    sizes = {"async": 4, "thread": 2}
    return Worker.objects.create(
        id=WORKER.id, kind="runner", host="machine-1", pid=7, version="1.2", slots=6, sizes=sizes
    )


def post(client: Client, **form: Any) -> str:
    answer = client.post("/workers", form, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_it_shows_each_worker(at_charlie: Client, alice: User, worker: Worker) -> None:
    for _ in range(7):
        claim(start_job(alice).pk)
    page = at_charlie.get("/workers").content.decode()
    assert "machine-1:7" in page
    assert "version 1.2" in page
    assert "async: 4 of 4" in page
    assert page.count(">Two steps</a>: One") == 5
    assert "and 2 more" in page
    assert '<span class="status running">alive</span>' in page
    Worker.objects.update(last_beat=timezone.now() - timedelta(minutes=5))
    assert "silent" in at_charlie.get("/workers").content.decode()


def test_it_is_for_staff(at_alice: Client, worker: Worker) -> None:
    assert at_alice.get("/workers").status_code == 404
    assert at_alice.post("/workers", {"action": "drain", "worker": worker.pk}).status_code == 404
    assert at_alice.post("/workers", {"action": "pause", "kind": "all", "reason": "x"}).status_code == 404
    assert not Pause.objects.exists()
    assert "/workers" not in at_alice.get("/jobs/").content.decode()


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ({"kind": "all"}, "All work is"),
        ({"kind": "tool", "tool_name": "HTTP_REQUEST", "project_name": "ignored"}, "The tool HTTP_REQUEST is"),
        ({"kind": "tool", "tool_name": ""}, "Model steps are"),
        ({"kind": "project", "project_name": "<b>p</b>"}, "The project &lt;b&gt;p&lt;/b&gt; is"),
    ],
)
def test_pause_and_resume(at_charlie: Client, form: dict[str, str], what: str) -> None:
    page = post(at_charlie, action="pause", reason="a <i>deploy</i>", **form)
    assert f"{what} paused by charlie: a &lt;i&gt;deploy&lt;/i&gt;" in page
    assert "was paused already" in post(at_charlie, action="pause", reason="again", **form)
    assert "Resumed." in post(at_charlie, action="resume", **form)
    assert "was not paused" in post(at_charlie, action="resume", **form)
    events = AuditEvent.objects.filter(action__startswith="work.").order_by("id")
    assert list(events.values_list("action", flat=True)) == ["work.paused", "work.resumed"]
    assert {event.actor for event in events} == {"charlie"}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "all"}, "Enter a reason"),
        ({"kind": "all", "reason": " \x00 "}, "Enter a reason"),
        ({"kind": "nothing", "reason": "x"}, "Choose what to pause"),
        ({"kind": "tool", "tool_name": "NO_SUCH", "reason": "x"}, "There is no tool NO_SUCH"),
        ({"kind": "project", "reason": "x"}, "Enter the project"),
    ],
)
def test_a_wrong_pause_is_refused(at_charlie: Client, form: dict[str, str], message: str) -> None:
    assert message in post(at_charlie, action="pause", **form)
    assert not Pause.objects.exists()


def test_drain_and_take_steps_again(at_charlie: Client, worker: Worker) -> None:
    assert "takes no new step" in post(at_charlie, action="drain", worker=worker.pk)
    worker.refresh_from_db()
    assert worker.is_drained
    assert "draining</span>" in at_charlie.get("/workers").content.decode(), "it has not seen that yet"
    Worker.objects.update(draining=True)
    assert "drained</span>" in at_charlie.get("/workers").content.decode()
    assert "has changed meanwhile" in post(at_charlie, action="drain", worker=worker.pk)
    assert "takes steps again" in post(at_charlie, action="end_drain", worker=worker.pk)
    for unknown in ("", "x", "00000000-0000-0000-0000-000000000000"):
        assert "The worker is gone" in post(at_charlie, action="drain", worker=unknown)
    assert "There is no such action" in post(at_charlie, action="explode")
    assert list(
        AuditEvent.objects.filter(object=f"worker:{worker.pk}").order_by("id").values_list("action", flat=True)
    ) == [
        "worker.drained",
        "worker.resumed",
    ]


def test_the_job_list_names_the_pause(at_alice: Client, at_charlie: Client) -> None:
    Pause.objects.create(kind="tool", name="HTTP_REQUEST", by="charlie", reason="the provider is down")
    Pause.objects.create(kind="project", name="secret-project", by="charlie")
    for client in (at_alice, at_charlie):
        page = client.get("/jobs/").content.decode()
        assert "The tool HTTP_REQUEST is paused by charlie: the provider is down" in page
        assert "secret-project" not in page
