"""Failures across jobs, in groups."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from jobs import failure_groups as groups
from jobs.failure_patterns import MAX_MESSAGE, pattern_of
from jobs.models import FailureMute
from tests.support.jobs import WORKER, claim, complete, fail, start_job
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.errors import StepError
from workflows.models import WorkflowExecution, WorkflowStep

ID = "0197a3c2-1111-7222-8333-444455556666"


def failed(user: User, message: str = "it broke", code: str = "", **job: Any) -> WorkflowExecution:
    made = start_job(user, **job)
    error = StepError(message, retryable=False)
    if code:
        error.code = code
    turn(WORKER, [Outcome.failed(claim(made.pk)[0], error)], [])
    return made


def page(client: Client, **query: str) -> str:
    answer = client.get("/failures", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("no answer after 120 s", "no answer after … s"),
        (f"step {ID} of {ID.upper()}", "step … of …"),
        ('"Fetch" has no field "a b"', "… has no field …"),
        ("the file 'x.pdf' isn't there, don't retry", "the file … isn't there, don't retry"),
        ("blob 0123456789abcdef01 gone, feedbeef is a word", "blob … gone, feedbeef is a word"),
        ("„quoted“ “curly 5” «guille»", "… … …"),
        ("x" * 600, "x" * MAX_MESSAGE + "…"),
        ("", ""),
    ],
)
def test_patterns(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


def test_alike_failures_are_one_group(at_alice: Client, alice: User) -> None:
    for number in range(3):
        failed(alice, f"no answer after {number} s")
    failed(alice, "no answer after 9 s", code="timed_out")
    found = groups.failure_groups(alice, 24)
    assert [(group.code, group.number) for group in found] == [("failed", 3), ("timed_out", 1)]
    assert sum(found[0].slots) == found[0].number == found[0].last_day
    shown = page(at_alice)
    assert "no answer after … s" in shown
    assert shown.count("<svg") == 2


def test_whose_failures(at_bob: Client, at_charlie: Client, alice: User) -> None:
    failed(alice, "only mine")
    assert "only mine" not in page(at_bob)
    assert "No step has failed in this period." in page(at_bob)
    assert "only mine" in page(at_charlie)


def test_the_period(at_alice: Client, alice: User) -> None:
    failed(alice, "long ago")
    WorkflowStep.objects.update(finished_at=timezone.now() - timedelta(days=8))
    assert "long ago" not in page(at_alice)
    assert "long ago" in page(at_alice, range="30d")
    assert "long ago" not in page(at_alice, range="no\x00")


def test_a_retried_step_is_no_failure_any_more(at_alice: Client, alice: User) -> None:
    job = failed(alice, "it broke")
    engine.retry(job.pk, actor="alice")
    assert "it broke" not in page(at_alice)


def test_only_the_newest_are_counted(at_alice: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(alice, "older")
    failed(alice, "newer")
    monkeypatch.setattr(groups, "NEWEST", 1)
    assert [group.pattern for group in groups.failure_groups(alice, 24)] == ["newer"]


def test_the_jobs_of_a_group(at_alice: Client, alice: User, as_alice: Client) -> None:
    """A link leads to a list of exactly these jobs, and every action on it is limited to them."""
    mine = failed(alice, "no answer after 120 s (a.*b)", code="timed_out")
    others = [failed(alice, "no answer after 120 s, never"), failed(alice, "x no answer after 120 s (a.*b)")]
    (group,) = [each for each in groups.failure_groups(alice, 24) if each.code == "timed_out"]
    query = {"failed": group.failed, "code": group.code, "message": group.pattern}
    shown = at_alice.get("/jobs/", query).content.decode()
    assert f"/jobs/{mine.pk}" in shown
    assert not any(f"/jobs/{other.pk}" in shown for other in others)
    assert 'name="message" value="no answer after … s (a.*b)"' in shown
    by_message = at_alice.get("/jobs/", {"message": group.pattern}).content.decode()
    assert f"/jobs/{mine.pk}" in by_message
    assert not any(f"/jobs/{other.pk}" in by_message for other in others)


@pytest.mark.parametrize("message", ["(", "[", "\\", "…" * 900, "a\x00b", "%_", "*" * 999, "é…\U0001f600"])
def test_odd_patterns_in_the_address(at_alice: Client, alice: User, message: str) -> None:
    failed(alice)
    assert at_alice.get("/jobs/", {"message": message}).status_code == 200


def test_odd_errors(at_alice: Client, alice: User) -> None:
    for error in (["x"], "text", 5, {}, {"code": 7, "message": {"a": "<b>"}}):
        job = failed(alice)
        WorkflowStep.objects.filter(execution=job, status="failed").update(error=error)
    shown = page(at_alice)
    assert "<b>" not in shown
    assert at_alice.get("/jobs/", {"message": "x", "code": "7"}).status_code == 200


def test_retry_the_group(at_alice: Client, alice: User) -> None:
    wanted, other = failed(alice, "no answer after 5 s"), failed(alice, "not that")
    form = {"all": "1", "action": "retry", "message": "no answer after … s", "failed": "model step", "code": "failed"}
    preview = at_alice.post("/jobs/bulk", form).content.decode()
    assert "Retry 1" in preview
    assert at_alice.post("/jobs/bulk", form | {"confirm": "1", "key": "k1"}).status_code == 302
    bulk = WorkflowExecution.objects.get(job_type="bulk-action")
    assert bulk.steps.filter(arguments__jobIds=[str(wanted.pk)]).exists()
    assert str(other.pk) not in str(bulk.payload)


def test_mute_until_it_fails_twice_as_often(at_alice: Client, at_charlie: Client, alice: User) -> None:
    for _ in range(2):
        failed(alice, "it broke")
    (group,) = groups.failure_groups(alice, 24)
    at_alice.post("/failures", {"action": "mute", "key": group.key, "note": "known <b>"})
    shown = page(at_alice)
    assert "All failures are muted." in shown
    assert "Muted (1)" in shown
    assert "known &lt;b&gt;" in shown
    assert "Muted (1)" not in page(at_charlie), "a mute is one user's"
    failed(alice, "it broke differently")
    assert "it broke differently" in page(at_alice).split("<details>")[0]
    for _ in range(3):
        failed(alice, "it broke")
    shown = page(at_alice)
    assert "fails twice as often since" in shown
    assert "Muted (1)" not in shown
    at_alice.post("/failures", {"action": "mute", "key": group.key, "note": "again"})
    assert FailureMute.objects.get().per_day == 5
    at_alice.post("/failures", {"action": "unmute", "key": group.key})
    assert not FailureMute.objects.exists()


@pytest.mark.parametrize("form", [{}, {"action": "explode"}, {"action": "mute", "key": "x"}, {"action": "unmute"}])
def test_an_odd_form_changes_nothing(at_alice: Client, form: dict[str, str]) -> None:
    assert at_alice.post("/failures", form).status_code == 302
    assert not FailureMute.objects.exists()


def test_a_strangers_group_cannot_be_muted(at_bob: Client, alice: User) -> None:
    failed(alice)
    (group,) = groups.failure_groups(alice, 24)
    at_bob.post("/failures", {"action": "mute", "key": group.key})
    assert not FailureMute.objects.exists()


def test_what_failed_is_the_tool_or_the_model(alice: User) -> None:
    job = start_job(alice)
    complete(claim(job.pk)[0], "ok")
    fail(claim(job.pk)[0])
    WorkflowStep.objects.filter(status="failed").update(model="gpt-5")
    steps = [{"name": "Call", "tool": "HTTP_REQUEST", "arguments": {"url": "https://example.com"}}]
    fail(claim(start_job(alice, payload={"workflowName": "x", "steps": steps}).pk)[0])
    failed(alice)
    assert {group.failed for group in groups.failure_groups(alice, 24)} == {"gpt-5", "HTTP_REQUEST", "model step"}
