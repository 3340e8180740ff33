"""Modes that are granted to groups: nobody else can start a job in one, or learn that it exists."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.conftest import browser_of
from tests.support.html import text
from workflows.models import Mode, WorkflowExecution

STEPS = [{"name": "One"}]


@pytest.fixture
def lawyers(bob: User) -> Group:
    group = Group.objects.create(name="lawyers")
    group.user_set.add(bob)
    return group


@pytest.fixture
def legal(lawyers: Group) -> Mode:
    mode = Mode.objects.create(name="Legal")
    mode.groups.add(lawyers)
    return mode


def start(client: Client, mode: str | None = "Legal", **payload: Any) -> Any:
    body = {"workflowName": "x", "steps": STEPS, **payload} | ({"mode": mode} if mode else {})
    return client.post("/api/jobs", {"jobType": "workflow", "payload": body}, content_type="application/json")


def test_members_use_it_and_others_do_not_see_it(legal: Mode, as_alice: Client, as_bob: Client) -> None:
    assert start(as_bob).status_code == 202
    refused, unknown = start(as_alice), start(as_alice, "Nix")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["attr"] == "payload.mode"
    assert refused.content.replace(b"Legal", b"Nix") == unknown.content
    assert WorkflowExecution.objects.count() == 1
    modes = [mode["mode"] for mode in as_alice.get("/api/modes").json()["modes"]]
    assert "Legal" not in modes
    assert "Legal" in [mode["mode"] for mode in as_bob.get("/api/modes").json()["modes"]]


@pytest.mark.parametrize("job_type", ["bulk-documents", "document-reprocess"])
def test_nor_other_types_of_jobs(legal: Mode, as_alice: Client, job_type: str) -> None:
    payload = {"documents": [{"id": "a"}], "documentIds": ["a"], "mode": "Legal"}
    body = {"jobType": job_type, "payload": payload}
    errors = as_alice.post("/api/jobs", body, content_type="application/json").json()["errors"]
    assert "There is no mode Legal" in str([error["detail"] for error in errors if error["attr"] == "payload.mode"])


def test_staff_need_the_group_too(legal: Mode, as_charlie: Client) -> None:
    assert start(as_charlie).status_code == 400


def test_the_default_mode_is_checked_if_none_is_named(lawyers: Group, as_alice: Client, as_bob: Client) -> None:
    Mode.objects.get(name=Mode.DEFAULT).groups.add(lawyers)
    assert start(as_alice, None).status_code == 400
    assert start(as_bob, None).status_code == 202


def test_the_default_modes_tools_count_if_none_is_named(as_alice: Client) -> None:
    Mode.objects.filter(name=Mode.DEFAULT).update(tools=["DOCUMENT_READ"])
    refused = start(
        as_alice, None, steps=[{"name": "Send", "tool": "HTTP_REQUEST", "arguments": {"url": "http://a.b"}}]
    )
    assert refused.json()["errors"][0]["code"] == "not_allowed"


@pytest.mark.parametrize("mode", [None, "General"])
def test_a_mode_limits_the_models(as_alice: Client, mode: str | None) -> None:
    Mode.objects.filter(name=Mode.DEFAULT).update(model_ids=["small"])
    refused = start(as_alice, mode, modelId="large")
    assert (refused.status_code, refused.json()["errors"][0]["attr"]) == (400, "payload.modelId")
    assert start(as_alice, mode, modelId="small").status_code == 202
    assert start(as_alice, mode).status_code == 202


def test_a_rerun_is_checked_again(legal: Mode, lawyers: Group, bob: User, as_bob: Client) -> None:
    job = start(as_bob).json()["jobId"]
    as_bob.post(f"/api/jobs/{job}/cancel")
    lawyers.user_set.remove(bob)
    assert as_bob.post(f"/api/jobs/{job}/rerun").status_code == 400


def test_uploads(legal: Mode, as_alice: Client, as_bob: Client) -> None:

    def upload(client: Client) -> int:
        sent = {"file": SimpleUploadedFile("a.txt", b"hello"), "mode": "Legal"}
        return client.post("/api/documents", sent).status_code

    assert (upload(as_alice), upload(as_bob)) == (400, 201)


def test_pages(legal: Mode, at_alice: Client, at_bob: Client) -> None:
    for path in ("/jobs/new", "/documents/"):
        assert "Legal" not in text(at_alice.get(path))
        assert "Legal" in text(at_bob.get(path))


def test_a_grant_is_audited(legal: Mode, lawyers: Group, charlie: User) -> None:
    charlie.user_permissions.add(*Permission.objects.filter(content_type__model="mode"))
    form = {"name": "Legal", "prompt": "", "default_model": "", "hosts": "a.example:443", "groups": []}
    assert browser_of(charlie).post(f"/admin/workflows/mode/{legal.pk}/change/", form).status_code == 302
    changes = AuditEvent.objects.get(action="mode.changed").changes
    assert changes == {"hosts": [[], ["a.example:443"]], "groups": [["lawyers"], []]}
