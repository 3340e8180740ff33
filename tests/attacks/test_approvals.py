"""Approvals: who may answer a step's question, once, in time, and with what. A running engine, real requests."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.servers.web_server import WebServer
from tests.support.html import text
from tests.support.runner import work
from workflows import engine
from workflows.engine.approvals import PersonalAnswer
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

pytestmark = pytest.mark.django_db(transaction=True)

SHOWN = {"customer": "Acme", "amount": 100}


@pytest.fixture
def server(settings: Any) -> Iterator[WebServer]:
    with WebServer() as server:
        settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": server.allowed()})
        yield server


@pytest.fixture
def reviewers(db: None, bob: User) -> Group:
    group = Group.objects.create(name="reviewers")
    group.user_set.add(bob)
    return group


def started(owner: User, *steps: NewStep, **options: Any) -> WorkflowExecution:
    new = NewExecution(owner.pk, "workflow", "secret plan", list(steps), **options)
    return WorkflowExecution.objects.get(pk=engine.start(new, actor=owner.username))


def question(**arguments: Any) -> NewStep:
    asked = {"question": "Send the offer?", "show": SHOWN, **arguments}
    return NewStep("ask", tool="APPROVAL", arguments=asked, description="my secret notes")


def asked(owner: User, *then: NewStep, **arguments: Any) -> WorkflowStep:
    execution = started(owner, question(**arguments), *then)
    work(execution, until_waiting=True)
    return execution.steps.get(index=0)


def path(step: WorkflowStep, verb: str = "") -> str:
    return f"/api/jobs/{step.execution_id}/steps/{step.pk}" + (f"/{verb}" if verb else "")


def answer(client: Client, step: WorkflowStep, verb: str, **body: Any) -> Any:
    return client.post(path(step, verb), body, content_type="application/json")


def test_a_wait_holds_nothing_and_shows_the_question(alice: User, as_alice: Client) -> None:
    step = asked(alice, group="")
    assert (step.status, step.lane, step.lease_until, step.ready_at) == ("waiting", None, None, None)
    shown = as_alice.get(path(step)).json()
    assert shown["status"] == "waiting"
    approval = shown["approval"]
    assert approval.pop("until").endswith("Z")
    assert approval == {
        "question": "Send the offer?",
        "arguments": SHOWN,
        "mayAnswer": ["alice", "staff"],
        "answeredBy": None,
        "answer": None,
        "comment": None,
    }
    job = as_alice.get(f"/api/jobs/{step.execution_id}").json()
    assert job["status"] == "waiting"
    assert "waiting for a person" in job["waitingFor"]


def test_a_yes_continues_with_the_changed_arguments(alice: User, as_alice: Client) -> None:
    step = asked(alice)
    changed = {"customer": "Acme", "amount": 90}
    response = answer(as_alice, step, "approve", arguments=changed, comment="less")
    assert response.status_code == 202
    assert response.json()["status"] == "completed"
    assert response.json()["output"] == {"approved": True, "by": "alice", "comment": "less", "arguments": changed}
    assert response.json()["approval"]["answeredBy"] == "alice"
    event = AuditEvent.objects.get(action="step.approved")
    assert (event.actor, event.object, event.channel) == ("alice", f"step:{step.pk}", "token")
    assert event.changes["comment"] == "less"
    assert event.changes["arguments"] == changed


def test_without_a_body_the_shown_arguments_count(alice: User, as_alice: Client) -> None:
    step = asked(alice)
    assert as_alice.post(path(step, "approve")).status_code == 202
    step.refresh_from_db()
    assert (step.output or {})["arguments"] == SHOWN


def test_a_no_fails_the_step_and_skips_those_after_it(alice: User, as_alice: Client) -> None:
    step = asked(alice, NewStep("then", tool="APPROVAL", arguments={"question": "x"}, depends_on=[0]))
    response = answer(as_alice, step, "reject", comment="too dear")
    assert (response.status_code, response.json()["status"]) == (202, "failed")
    error = response.json()["error"]
    assert (error["code"], error["retryable"]) == ("rejected", False)
    assert "too dear" in error["message"]
    execution = WorkflowExecution.objects.get(pk=step.execution_id)
    assert (execution.status, execution.steps.get(index=1).status) == ("failed", "skipped")
    assert AuditEvent.objects.get(action="step.rejected").actor == "alice"


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_strangers_cannot_answer_and_see_no_difference(alice: User, as_bob: Client, client: Client, verb: str) -> None:
    step = asked(alice)
    nothing = as_bob.post(path(step, verb).replace(str(step.pk), str(step.execution_id)))
    refused = answer(as_bob, step, verb, comment="let me")
    assert (refused.status_code, nothing.status_code) == (404, 404)
    assert refused.json() == nothing.json()
    assert answer(client, step, verb).status_code == 401
    step.refresh_from_db()
    assert step.status == "waiting"


def test_nor_through_their_own_job(alice: User, bob: User, as_bob: Client) -> None:
    step, own = asked(alice), asked(bob)
    assert as_bob.post(f"/api/jobs/{own.execution_id}/steps/{step.pk}/approve").status_code == 404
    step.refresh_from_db()
    assert step.status == "waiting"


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_the_group_answers_but_sees_only_the_question(alice: User, reviewers: Group, as_bob: Client, verb: str) -> None:
    step = asked(alice, group="reviewers")
    assert as_bob.get(path(step)).status_code == 404
    assert as_bob.get(f"/api/jobs/{step.execution_id}").status_code == 404
    response = answer(as_bob, step, verb)
    assert response.status_code == 202
    assert "my secret notes" not in response.content.decode()
    assert response.json()["approval"]["answeredBy"] == "bob"


def test_a_former_member_of_the_group_cannot(alice: User, bob: User, reviewers: Group, as_bob: Client) -> None:
    step = asked(alice, group="reviewers")
    reviewers.user_set.remove(bob)
    assert answer(as_bob, step, "approve").status_code == 404


def test_staff_may(alice: User, as_charlie: Client) -> None:
    assert answer(as_charlie, asked(alice), "approve").json()["output"]["by"] == "charlie"


def test_only_the_first_answer_counts(alice: User, as_alice: Client) -> None:
    step = asked(alice)
    assert answer(as_alice, step, "reject").status_code == 202
    for verb in ("approve", "reject"):
        late = answer(as_alice, step, verb)
        assert (late.status_code, late.json()["errors"][0]["code"]) == (409, "wrong_state")
    assert AuditEvent.objects.filter(action__in=["step.approved", "step.rejected"]).count() == 1


def test_a_step_that_nobody_was_asked_about(alice: User, as_alice: Client, as_bob: Client) -> None:
    step = started(alice, NewStep("plain")).steps.get()
    assert answer(as_alice, step, "approve").status_code == 409
    assert answer(as_bob, step, "approve").status_code == 404


def test_too_late(alice: User, as_alice: Client) -> None:
    step = asked(alice, timeoutSeconds=0.01)
    assert answer(as_alice, step, "approve").status_code == 409
    assert engine.end_silence() == 1
    step.refresh_from_db()
    assert (step.status, (step.error or {})["code"]) == ("failed", "approval_expired")


def test_a_retry_asks_again(alice: User, as_alice: Client) -> None:
    step = asked(alice)
    answer(as_alice, step, "reject")
    assert as_alice.post(f"/api/jobs/{step.execution_id}/retry").status_code == 202
    execution = WorkflowExecution.objects.get(pk=step.execution_id)
    work(execution, until_waiting=True)
    assert as_alice.get(path(step)).json()["approval"]["answer"] is None
    assert answer(as_alice, step, "approve").status_code == 202


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_cancelled_job_takes_no_answer(alice: User, as_alice: Client, verb: str) -> None:
    step = asked(alice)
    assert as_alice.post(f"/api/jobs/{step.execution_id}/cancel").status_code == 202
    assert answer(as_alice, step, verb).status_code == 409


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("approve", {"comment": "x" * 2001}),
        ("approve", {"by": "charlie"}),
        ("reject", {"arguments": {}}),
        ("approve", {"comment": 1}),
        ("approve", []),
    ],
)
def test_bad_bodies(alice: User, as_alice: Client, verb: str, body: Any) -> None:
    step = asked(alice)
    response = as_alice.post(path(step, verb), json.dumps(body), content_type="application/json")
    assert response.status_code == 400
    step.refresh_from_db()
    assert step.status == "waiting"


def test_a_group_that_does_not_exist(alice: User) -> None:
    execution = started(alice, question(group="nobody"))
    work(execution)
    assert (execution.steps.get().error or {})["code"] == "bad_arguments"


def test_two_answers_at_once(alice: User) -> None:
    """The verb itself decides, whatever was read before."""
    step = asked(alice)
    given = [PersonalAnswer("approved", "alice"), PersonalAnswer("rejected", "charlie")]
    results = [engine.answer_approval(step.execution_id, step.pk, each, actor=each.by) for each in given]
    assert results == [True, False]
    connection.close()


class TestPages:
    @pytest.mark.parametrize("arguments", [r'{"a": "\u0000"}', r'{"\ud800": 1}', r'"\ud800"'])
    def test_arguments_that_cannot_be_stored(self, alice: User, at_alice: Client, arguments: str) -> None:
        """They would be approved as something else."""
        step = asked(alice)
        form = {"arguments": arguments}
        response = at_alice.post(f"/jobs/{step.execution_id}/steps/{step.pk}/approve", form, follow=True)
        assert "NUL or half of a surrogate pair" in text(response)
        step.refresh_from_db()
        assert step.status == "waiting"

    def test_the_owner_answers_on_the_jobs_page(self, alice: User, at_alice: Client) -> None:
        step = asked(alice)
        shown = text(at_alice.get(f"/jobs/{step.execution_id}"))
        assert "Send the offer?" in shown
        assert "Acme" in shown
        assert "Approve step" in shown
        assert "Approvals (1)" in shown
        changed = {"arguments": '{"customer": "Beta"}', "comment": "fine"}
        response = at_alice.post(f"/jobs/{step.execution_id}/steps/{step.pk}/approve", changed)
        assert response.status_code == 302
        step.refresh_from_db()
        assert (step.output or {})["arguments"] == {"customer": "Beta"}
        assert "Approvals (" not in text(at_alice.get("/jobs/"))

    def test_arguments_that_are_not_json(self, alice: User, at_alice: Client) -> None:
        step = asked(alice)
        url = f"/jobs/{step.execution_id}/steps/{step.pk}/approve"
        assert "not valid JSON" in text(at_alice.post(url, {"arguments": "{"}, follow=True))
        step.refresh_from_db()
        assert step.status == "waiting"

    def test_the_group_has_a_list(self, alice: User, reviewers: Group, at_bob: Client) -> None:
        step = asked(alice, group="reviewers")
        shown = text(at_bob.get("/jobs/approvals"))
        assert "Send the offer?" in shown
        assert "my secret notes" not in shown
        assert at_bob.post(f"/jobs/{step.execution_id}/steps/{step.pk}/reject", {"comment": "no"}).status_code == 302
        step.refresh_from_db()
        assert (step.error or {})["code"] == "rejected"

    @pytest.mark.parametrize("verb", ["approve", "reject"])
    def test_strangers(self, alice: User, at_bob: Client, client: Client, verb: str) -> None:
        step = asked(alice)
        url = f"/jobs/{step.execution_id}/steps/{step.pk}/{verb}"
        assert at_bob.post(url).status_code == 404
        assert client.post(url).status_code == 302
        assert at_bob.get(url).status_code == 405
        assert "Send the offer?" not in text(at_bob.get("/jobs/approvals"))
        step.refresh_from_db()
        assert step.status == "waiting"

    def test_shown_values_are_not_markup(self, alice: User, at_alice: Client) -> None:
        step = asked(alice, question="<script>alert(1)</script>", show={"x": "</textarea><script>"})
        for url in ("/jobs/approvals", f"/jobs/{step.execution_id}"):
            page = at_alice.get(url).content.decode()
            assert "<script>alert" not in page
            assert "</textarea><script>" not in page
