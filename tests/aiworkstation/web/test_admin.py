"""The admin: what it shows, and the few changes that it allows."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import claim, fail, start_job
from workflows.models import Mode, WorkflowExecution


@pytest.fixture
def admin(client: Client, charlie: User) -> Client:
    charlie.is_superuser = True
    charlie.save()
    client.force_login(charlie)
    return client


@pytest.mark.parametrize(
    "model",
    [
        "access/apitoken",
        "audit/auditevent",
        "documents/document",
        "workflows/mode",
        "workflows/worker",
        "workflows/workflowexecution",
    ],
)
def test_lists(admin: Client, alice: User, model: str) -> None:
    ApiToken.issue(alice, "script")
    start_job(alice)
    assert admin.get(f"/admin/{model}/").status_code == 200
    if model != "workflows/mode":
        assert admin.get(f"/admin/{model}/add/").status_code == 403
    if model != "workflows/worker":
        assert admin.get(f"/admin/{model}/?q=alice").status_code in (200, 302)


def test_audit_events_are_only_read(admin: Client, alice: User) -> None:
    start_job(alice)
    event = AuditEvent.objects.get(action="job.queued")
    address = f"/admin/audit/auditevent/{event.pk}"
    page = admin.get(f"{address}/change/").content.decode()
    assert "job.queued" in page
    assert 'name="_save"' not in page
    assert admin.post(f"{address}/change/", {"actor": "me"}).status_code == 403
    assert admin.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    assert "job.queued" in admin.get("/admin/audit/auditevent/?q=job.queued").content.decode()


def test_an_execution_is_shown_with_its_steps(admin: Client, alice: User) -> None:
    execution = start_job(alice)
    page = admin.get(f"/admin/workflows/workflowexecution/{execution.pk}/change/").content.decode()
    (link,) = re.findall(r'href="([^"]+)" class="viewsitelink"', page)
    assert link == f"/jobs/{execution.pk}"
    assert "Two" in page
    assert 'name="_save"' not in page


def test_executions_are_cancelled_and_retried_by_the_verbs(admin: Client, alice: User) -> None:
    execution, failed = start_job(alice), start_job(alice)
    fail(claim(failed.pk)[0])

    def act(action: str) -> list[str]:
        form = {"action": action, "_selected_action": [str(execution.pk), str(failed.pk)]}
        assert admin.post("/admin/workflows/workflowexecution/", form).status_code == 302
        return list(WorkflowExecution.objects.order_by("created_at").values_list("status", flat=True))

    assert act("cancel") == ["cancelled", "failed"]
    assert act("retry") == ["queued", "queued"]
    assert set(AuditEvent.objects.filter(actor="charlie").values_list("action", flat=True)) >= {
        "job.cancelled",
        "job.retried",
    }


def test_modes_are_edited_with_an_event(admin: Client) -> None:
    mode = Mode.objects.get(name="Sales")
    form = {"name": "Sales", "prompt": "Sell.", "default_model": "", "tools": ["DOCUMENT_READ"]}
    assert admin.post(f"/admin/workflows/mode/{mode.pk}/change/", form).status_code == 302
    before, mode = mode, Mode.objects.get(name="Sales")
    assert (mode.prompt, mode.tools) == ("Sell.", ["DOCUMENT_READ"])
    event = AuditEvent.objects.get(action="mode.changed")
    assert event.changes == {"prompt": [before.prompt, "Sell."], "tools": [[], ["DOCUMENT_READ"]]}


def test_the_prompt_of_a_mode_refers_to_no_step(admin: Client) -> None:
    mode = Mode.objects.get(name="Sales")
    form = {"name": "Sales", "prompt": "Use {{steps.Read.output}}.", "default_model": ""}
    page = admin.post(f"/admin/workflows/mode/{mode.pk}/change/", form)
    assert page.status_code == 200
    assert "is not replaced" in page.content.decode()


def test_the_default_mode_stays(admin: Client) -> None:
    mode = Mode.objects.get(name=Mode.DEFAULT)
    form = {"name": "Other", "prompt": "x", "default_model": ""}
    admin.post(f"/admin/workflows/mode/{mode.pk}/change/", form)
    assert Mode.objects.get(pk=mode.pk).name == Mode.DEFAULT
    assert admin.post(f"/admin/workflows/mode/{mode.pk}/delete/", {"post": "yes"}).status_code == 403


def test_tokens_are_revoked_with_an_event(admin: Client, alice: User) -> None:
    token, _ = ApiToken.issue(alice, "script")
    page = admin.get(f"/admin/access/apitoken/{token.pk}/change/").content.decode()
    assert token.digest not in page
    admin.post(f"/admin/access/apitoken/{token.pk}/delete/", {"post": "yes"})
    assert not ApiToken.objects.exists()
    assert AuditEvent.objects.get(action="token.revoked").actor == "charlie"


def test_others_are_refused(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/admin/audit/auditevent/").status_code == 302
