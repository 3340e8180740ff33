"""The timeline and the graph on a job's page."""

from django.contrib.auth.models import User
from django.test import Client

from jobs import attempts
from jobs.pages import timeline
from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows.models import StepStatus, WorkflowStep

LIVE = "job-live"
DIAMOND = {
    "workflowName": "Diamond",
    "steps": [
        {"name": "Top"},
        {"name": "Left", "dependsOn": ["Top"]},
        {"name": "Right", "dependsOn": ["Top"]},
        {"name": "Bottom", "dependsOn": ["Left", "Right"]},
    ],
}


def test_a_bar_for_each_step_that_began(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    assert "Timeline" not in text(at_alice.get(f"/jobs/{job.pk}"))
    fail(claim(job.pk)[0], "busy", retryable=True)
    WorkflowStep.objects.filter(execution=job, index=0).update(ready_at="2020-01-01T00:00:00Z")
    complete(claim(job.pk)[0], "done")
    claim(job.pk)
    page = at_alice.get(f"/jobs/{job.pk}")
    first, second = page.context["timeline"]().bars
    assert [span.look for span in first.spans] == ["failed", "waiting", "completed"]
    assert "attempt 1 failed on test worker" in first.text
    assert "waits before the next attempt" in first.text
    assert [span.look for span in second.spans] == ["running"]
    assert all(span.x >= 0 and span.width > 0 for bar in (first, second) for span in bar.spans)
    assert "style=" not in text(page)


def test_a_retry_begins_a_new_timeline(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    fail(claim(job.pk)[0])
    at_alice.post(f"/jobs/{job.pk}/retry")
    claim(job.pk)
    (bar,) = at_alice.get(f"/jobs/{job.pk}").context["timeline"]().bars
    assert [span.look for span in bar.spans] == ["running"]


def test_polls_draw_it_when_something_changed(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    page = at_alice.get(f"/jobs/{job.pk}")
    assert at_alice.get(poll_url(page, LIVE)).status_code == 204
    complete(step, "done")
    answer = at_alice.get(poll_url(page, LIVE))
    assert "job-timeline" in swapped(answer)
    assert is_polling(answer, LIVE)
    assert at_alice.get(poll_url(answer, LIVE)).status_code == 204


def test_dependencies_are_drawn(alice: User, at_alice: Client) -> None:
    job = start_job(alice, payload=DIAMOND)
    page = at_alice.get(f"/jobs/{job.pk}")
    graph = page.context["graph"]
    columns = {node.step.name: node.x for node in graph.nodes}
    assert columns["Top"] < columns["Left"] == columns["Right"] < columns["Bottom"]
    assert len(graph.edges) == 4
    assert "Step 4: Bottom, pending, depends on Left, Right" in text(page)
    complete(claim(job.pk)[0])
    answer = at_alice.get(poll_url(page, LIVE))
    assert "job-graph" in swapped(answer)
    assert "Step 1: Top, completed" in text(answer)


def test_a_step_may_depend_on_a_later_one(alice: User, at_alice: Client) -> None:
    steps = [{"name": "Last", "dependsOn": ["First"]}, {"name": "First", "dependsOn": []}]
    job = start_job(alice, payload={"workflowName": "Backwards", "steps": steps})
    graph = at_alice.get(f"/jobs/{job.pk}").context["graph"]
    assert [node.step.name for node in graph.nodes] == ["First", "Last"]


def test_steps_in_a_row_need_no_graph(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    complete_all(job)
    assert at_alice.get(f"/jobs/{job.pk}").context["graph"] is None


def test_every_event_that_leaves_a_step_unfinished_begins_a_wait() -> None:
    waits = {StepStatus.WAITING, StepStatus.READY}
    assert {action for action, status in attempts._STATUS_AFTER.items() if status in waits} <= set(timeline._BEGINS)
