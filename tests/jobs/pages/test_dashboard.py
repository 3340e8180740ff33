"""The dashboard: its page, its template tag and its JSON."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.utils import timezone

from jobs.pages.formats import dollars, milliseconds, share, whole
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from tests.support.rollups import count_all
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep


def text(answer: Any) -> str:
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found


def spend(user: User, **job: Any) -> WorkflowExecution:
    made = start_job(user, **job)
    while claims := claim(made.pk):
        usage = {"inputTokens": 1000, "outputTokens": 30, "costUsd": "0.25"}
        complete(claims[0], {"text": ""}, model="gpt-5", usage=usage)
    return made


def ask(client: Client, **query: str) -> dict[str, Any]:
    answer = client.get("/api/metrics/dashboard", query)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def jobs(alice: User, bob: User) -> None:
    spend(alice, projectId="p1")
    fail(claim(start_job(alice).pk)[0], "broke <b>badly</b>")
    complete_all(start_job(bob))
    engine.cancel(start_job(alice).pk, actor="alice")


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("is_counted", [True, False])
def test_the_json(as_alice: Client, as_charlie: Client, is_counted: bool) -> None:
    if is_counted:
        count_all()
    found = ask(as_alice)
    ends = ("completed", "completedWithErrors", "failed", "cancelled")
    assert [sum(bucket[name] for bucket in found["buckets"]) for name in ends] == [1, 0, 1, 1]
    (workflow,) = found["byType"]
    assert (workflow["name"], workflow["started"], workflow["ended"]) == ("workflow", 2, 3)
    assert workflow["failureRate"] == pytest.approx(1 / 3)
    assert workflow["durationP50Ms"] is not None
    usage = {"inputTokens": 2000, "outputTokens": 60, "costUsd": "0.50"}
    assert found["byModel"] == [{"name": "gpt-5", **usage}]
    assert found["byMode"] == [{"name": "General", **usage}]
    assert found["byProject"] == [{"name": "p1", **usage}]
    assert found["byUser"] == [{"name": "alice", **usage}]
    (failing,) = found["failingSteps"]
    assert (failing["tool"], failing["code"], failing["number"]) == (None, "failed", 1)
    everybody = ask(as_charlie, owner="all")
    assert everybody["byType"][0]["ended"] == 4
    assert not ask(as_charlie)["byType"]


@pytest.mark.usefixtures("jobs")
def test_whose_figures(as_bob: Client, as_charlie: Client) -> None:
    for query in ({}, {"owner": "all"}):
        found = ask(as_bob, **query)
        assert found["byType"][0]["ended"] == 1
        assert not found["byUser"]
        assert not found["failingSteps"]
    assert not ask(as_bob, owner="alice")["byType"]
    assert ask(as_charlie, owner="alice")["byType"][0]["ended"] == 3


@pytest.mark.usefixtures("jobs")
def test_the_page(at_alice: Client, at_bob: Client, at_charlie: Client) -> None:
    page = text(at_alice.get("/dashboard"))
    for name in ("Jobs by state", "Throughput", "Failure rate", "Waiting time", "Duration", "Model tokens", "Cost"):
        assert f"{name} as a table" in page
    assert "33.3 %" in page
    assert "<td>2,000</td><td>60</td><td>$0.5000</td>" in page
    assert "Tokens and cost by user" not in page
    assert "alice" not in text(at_bob.get("/dashboard?owner=alice")).replace("owner=alice", "")
    assert "Tokens and cost by user" in text(at_charlie.get("/dashboard"))
    assert "<td>2,000</td>" in text(at_charlie.get("/dashboard"))
    assert "<td>2,000</td>" not in text(at_charlie.get("/dashboard?owner=bob"))


@pytest.mark.parametrize("range", ["", "1h", "6h", "24h", "7d", "30d", "90d", "no", "1h\x00<b>"])
def test_every_period(at_alice: Client, range: str) -> None:
    page = text(at_alice.get("/dashboard", {"range": range}))
    assert "Nothing in this period." in page
    assert "<b>" not in page


@pytest.mark.usefixtures("jobs")
def test_it_refreshes_only_itself(at_alice: Client) -> None:
    part = text(at_alice.get("/dashboard?range=1h", headers={"HX-Request": "true"}))
    assert part.startswith('<div id="dashboard"')
    assert 'hx-get="/dashboard?range=1h"' in part


@pytest.mark.usefixtures("jobs")
def test_the_template_tag(alice: User) -> None:
    template = Template("{% load jobs_dashboard %}{% jobs_dashboard '7d' %}")
    request = RequestFactory().get("/")
    assert not template.render(Context({})).strip()
    request.user = alice
    shown = template.render(Context({"request": request}))
    assert 'hx-get="/dashboard?range=7d"' in shown
    assert "<td>2,000</td>" in shown


def test_failing_steps_are_those_of_the_last_day(as_alice: Client, alice: User) -> None:
    for message in ("one", "two"):
        fail(claim(start_job(alice).pk)[0], message)
    WorkflowStep.objects.filter(error__message="one").update(finished_at=timezone.now() - timedelta(hours=25))
    assert [each["number"] for each in ask(as_alice)["failingSteps"]] == [1]


def test_hostile_labels(at_alice: Client, alice: User) -> None:
    evil = "<script>alert(1)</script>"
    spend(alice, projectId=evil)
    page = text(at_alice.get("/dashboard"))
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_formats() -> None:
    assert [whole(None), whole(1234.6), share(0.123), share(None)] == ["–", "1,235", "12.3 %", "–"]
    assert [milliseconds(12.4), milliseconds(1000), milliseconds(3_600_000)] == ["12 ms", "1.0 s", "1 h 00 min"]
    assert [dollars(0), dollars(0.00321), dollars(1234.5), dollars(None)] == ["$0.00", "$0.0032", "$1,234.50", "–"]
