"""The page that builds a workflow, without JavaScript."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django.asserts import assertRedirects

from jobs.models import SavedWorkflow
from jobs.pages.builder.builder import MOST_STEPS
from jobs.saved_workflows import change_workflow, save_workflow
from tests.support.documents import upload
from tests.support.html import Response, text
from tests.support.jobs import complete_all, start_job
from workflows.models import OutsideWorker, SecretGrant, WorkflowExecution, WorkflowStep

PASTED = {"workflowName": "Pasted", "steps": [{"name": "One"}]}
FULL: dict[str, Any] = {
    "jobType": "workflow",
    "payload": {
        "workflowName": "Everything",
        "workflowDescription": "Uses every field.\nIn two lines.",
        "mode": "Sales",
        "modelId": "gpt-4o",
        "projectId": "p-1",
        "tags": ["a", "b c"],
        "steps": [
            {"name": "Search", "tool": "DOCUMENT_SEARCH", "arguments": {"query": "prices", "limit": 5}},
            {
                "name": "Call",
                "tool": "HTTP_REQUEST",
                "arguments": {
                    "method": "POST",
                    "url": "https://api.example.com/x?key={{secret.KEY}}",
                    "headers": {"accept": "text/html; q=0.8", "x-token": "{{secret.TOKEN}}"},
                    "json": {"deep": [1, 1.5, None, {"x": True}]},
                    "timeoutSeconds": 2.5,
                },
                "dependsOn": [],
                "maxAttempts": 5,
                "timeoutSeconds": 60,
            },
            {"name": "Choose", "tool": "DOCUMENT_READ"},
            {"name": "Nothing", "tool": "DOCUMENT_READ", "arguments": {}},
            {"name": "Join", "description": "  Compare\n both.", "dependsOn": ["Search", "Call"]},
        ],
    },
    "priority": "high",
    "maxParallel": 7,
    "delaySeconds": 30,
}


def form(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What a browser sends. The rows have the keys 1, 2, …"""
    sent: dict[str, Any] = {"mode": "General", "step": [str(number) for number in range(1, len(steps) + 1)], **fields}
    for number, step in enumerate(steps, start=1):
        sent |= {f"step-{number}-{name}": value for name, value in step.items()}
    return sent


def rows(response: Response) -> list[Any]:
    return list(response.context["editor"].builder.steps)


def names(response: Response) -> list[str]:
    return [row["name"].value() or "" for row in rows(response)]


def test_it_works(alice: User, at_alice: Client) -> None:
    assert text(at_alice.get("/jobs/new")).count("<fieldset") == 1
    steps = (
        {"name": "Look", "tool": "DOCUMENT_SEARCH", "arg-query": "prices", "arg-limit": "5"},
        {"name": "Tell", "description": "What do they cost?", "attempts": "5", "timeout": "60"},
    )
    sent = form(*steps, name="Prices", description="Of today", mode="Sales", priority="high", parallel="2", tags="a, b")
    response = at_alice.post("/jobs/new", sent | {"project": "p-1"})
    job = WorkflowExecution.objects.get(owner=alice)
    assertRedirects(response, f"/jobs/{job.pk}")
    assert (job.name, job.description, job.mode) == ("Prices", "Of today", "Sales")
    assert (job.queue, job.max_parallel, job.tags, job.project_id) == ("high", 2, ["a", "b"], "p-1")
    look, tell = WorkflowStep.objects.filter(execution=job).order_by("index")
    assert (look.tool, look.arguments) == ("DOCUMENT_SEARCH", {"query": "prices", "limit": 5})
    assert (tell.name, tell.depends_on, tell.max_attempts, tell.timeout_seconds) == ("Tell", [0], 5, 60)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"given_by": "model", "arg-query": "typed before"}, None),
        ({"given_by": "json", "json": '{"query": "x"}', "arg-limit": "many"}, {"query": "x"}),
        ({"given_by": "fields", "json": "{broken", "arg-query": "x", "needs": ["7"]}, {"query": "x"}),
    ],
)
def test_where_arguments_come_from(at_alice: Client, given: dict[str, str], arguments: Any) -> None:
    """What is hidden, because another choice was made, counts for nothing."""
    step = {"name": "Look", "tool": "DOCUMENT_SEARCH", **given}
    assert at_alice.post("/jobs/new", form(step, name="Any")).status_code == 302
    assert WorkflowStep.objects.get().arguments == arguments


def test_the_order_is_that_of_the_rows(at_alice: Client) -> None:
    """As after a drag. `needs` names rows by their keys, whatever the steps are called by now."""
    sent = form({"name": "B"}, {"name": "A"}, {"name": "C", "follows": "chosen", "needs": ["1"]}, name="Any")
    at_alice.post("/jobs/new", sent | {"step": ["2", "1", "3"]})
    assert list(WorkflowStep.objects.order_by("index").values_list("name", flat=True)) == ["A", "B", "C"]
    assert WorkflowStep.objects.get(name="C").depends_on == [1]


def test_sent_twice_is_one_job(at_alice: Client) -> None:
    sent = form({"name": "One"}, name="Once", key="0190-key")
    assert at_alice.post("/jobs/new", sent)["location"] == at_alice.post("/jobs/new", sent)["location"]
    assert WorkflowExecution.objects.count() == 1
    at_alice.post("/jobs/new", sent | {"name": "Changed, after going back"})
    assert WorkflowExecution.objects.count() == 2


def test_json_that_is_sent_twice_is_one_job(at_alice: Client) -> None:
    sent = {"view": "json", "body": json.dumps(PASTED), "key": "0190-key"}
    first, second = (at_alice.post("/jobs/new", sent)["Location"] for _ in range(2))
    assert first == second
    body = {"jobType": "workflow", "payload": PASTED, "idempotencyKey": "of the body"}
    for key in ("one", "two"):
        assert at_alice.post("/jobs/new", sent | {"body": json.dumps(body), "key": key}).status_code == 302
    assert WorkflowExecution.objects.count() == 2


@pytest.mark.parametrize("act", ["start", "check", "save"])
def test_errors_stand_beside_their_fields(at_alice: Client, act: str) -> None:
    sent = form(
        {},
        {"name": "Look", "tool": "DOCUMENT_SEARCH", "arg-limit": "99"},
        {"description": "nameless", "attempts": "many", "timeout": "0"},
        {"name": "Call", "tool": "HTTP_REQUEST", "arg-url": "{{secret.X}}"},
        {"name": "Late", "tool": "NONE", "given_by": "json", "json": "{}"},
        **{"save-name": "kept"},
    )
    response = at_alice.post("/jobs/new", sent | {"act": act})
    assert response.status_code == 400
    empty, look, nameless, call, late = rows(response)
    assert not empty.errors
    assert look.errors["arg-query"] == ["Field required."]
    assert look.errors["arg-limit"] == ["Input should be less than or equal to 50."]
    assert nameless.errors["name"] == ["Enter a name for the step."]
    assert nameless.errors["attempts"] == ["Must be a whole number."]
    assert nameless.errors["timeout"] == ["Must be 1 or more."]
    assert "A secret cannot be here." in str(call.errors["arg-url"])
    assert late.errors["tool"][0].startswith("There is no tool NONE. Choose one of: APPROVAL, DOCUMENT_EMBED, ")
    assert response.context["editor"].builder.job.errors["name"] == ["Enter a name for the job."]
    page = text(response)
    assert 'value="99"' in page, "the form keeps what was entered"
    assert 'aria-invalid="true"' in page
    assert not WorkflowExecution.objects.exists()
    assert not SavedWorkflow.objects.exists()


@pytest.mark.parametrize(
    ("entered", "field", "message"),
    [
        ({"given_by": "json", "json": "{oops"}, "json", "not valid JSON"),
        ({"given_by": "json", "json": "[1]"}, "json", "JSON object"),
        ({"arg-timeoutSeconds": "soon"}, "arg-timeoutSeconds", "Enter a number."),
        ({"arg-headers": "no colon"}, "arg-headers", "name: value"),
        ({"arg-headers": "A: 1\nA: 2"}, "arg-headers", "A appears twice"),
        ({"arg-json": "NaN"}, "arg-json", "not valid JSON"),
        ({"arg-method": "STEAL"}, "arg-method", "There is no STEAL. Choose one of: GET, POST"),
        ({"arg-body": "a\0b"}, "arg-body", "Null characters"),
    ],
)
def test_texts_that_are_no_arguments(at_alice: Client, entered: dict[str, str], field: str, message: str) -> None:
    step = {"name": "Call", "tool": "HTTP_REQUEST", **entered}
    for act in ("start", "json"):
        response = at_alice.post("/jobs/new", form(step, name="x", act=act))
        assert response.status_code == 400
        assert message in str(rows(response)[0].errors[field])


def test_errors_of_the_job(at_alice: Client) -> None:
    sent = form({"name": "One"}, name="x" * 301, mode="Sale", model_id="x" * 201, parallel="0", priority="urgent")
    response = at_alice.post("/jobs/new", sent | {"tags": "x" * 101, "delay": "later"})
    errors = response.context["editor"].builder.job.errors
    assert errors["name"] == ["At most 300 characters are allowed."]
    assert errors["mode"] == ["There is no mode Sale. Choose one of: Admin, General, Sales."]
    assert {"model_id", "parallel", "priority", "tags", "delay"} < {*errors}
    assert '<option value="Sale" selected>' in text(response), "the wrong choice stays visible"
    assert at_alice.post("/jobs/new", form(name="Nothing to do")).context["editor"].builder.job.errors == {
        "__all__": ["Add at least one step."]
    }


def test_check_starts_nothing(at_alice: Client) -> None:
    assert "No errors found. Nothing was started." in text(
        at_alice.post("/jobs/new", form({"name": "A"}, name="Any", act="check"))
    )
    assert not WorkflowExecution.objects.exists()


def test_rows_are_added_moved_copied_and_removed(at_alice: Client) -> None:
    sent = form(
        {"name": "A", "arg-query": "x"}, {"name": "B", "tool": "HTTP_REQUEST", "arg-json": "{broken"}, {"name": "C"}
    )

    def act(name: str) -> Response:
        return at_alice.post("/jobs/new", sent | {"act": name, "name": "Kept", "parallel": "many"})

    assert names(act("add")) == ["A", "B", "C", ""]
    assert names(act("up-2")) == ["B", "A", "C"]
    assert names(act("up-1")) == ["A", "B", "C"]
    assert names(act("down-2")) == ["A", "C", "B"]
    assert names(act("down-3")) == ["A", "B", "C"]
    assert names(act("remove-1")) == ["B", "C"]
    copied = act("copy-2")
    assert names(copied) == ["A", "B", "B (copy)", "C"]
    page = text(copied)
    assert page.count("{broken") == 2, "nothing is checked, and nothing is lost"
    assert 'value="Kept"' in page
    assert 'value="many"' in page
    assert 'class="errors"' not in page
    assert [row.key for row in rows(copied)] == ["1", "2", "4", "3"]
    for unknown in ("up-9", "remove-", "explode-1", "copy", "add-7", "-", "up-1-1"):
        assert act(unknown).status_code == 200
    assert not WorkflowExecution.objects.exists()


def test_the_focus_follows_a_row(at_alice: Client) -> None:
    sent = form({"name": "A"}, {"name": "B"}, {"name": "C"})

    def focused(act: str) -> list[str]:
        page = text(at_alice.post("/jobs/new", sent | {"act": act}))
        return [re.findall('id="(.*?)"', tag)[0] for tag in re.findall("<[^>]* autofocus[^>]*>", page)]

    assert focused("up-3") == ["up-3"]
    assert focused("up-2") == ["down-2"]
    assert focused("down-2") == ["up-2"]
    assert focused("remove-3") == ["id_step-2-name"]
    assert focused("add") == ["id_step-4-name"]


def test_there_is_always_a_row_and_never_too_many(at_alice: Client) -> None:
    assert names(at_alice.post("/jobs/new", form({"name": "A"}, act="remove-1"))) == [""]
    full = form(*[{"name": "A"}] * MOST_STEPS)
    for act in ("add", "copy-1"):
        assert len(rows(at_alice.post("/jobs/new", full | {"act": act}))) == MOST_STEPS
    hostile = {"step": ["1", "1", "-1", "x", "9" * 30, "<b>"], "act": "refresh"}
    assert [row.key for row in rows(at_alice.post("/jobs/new", hostile))] == ["1"]
    assert at_alice.post("/jobs/new", {"act": "refresh"}).status_code == 200


def test_the_fields_of_a_tool(alice: User, at_alice: Client) -> None:
    document = upload(alice, "Hello.", "hello.txt")
    OutsideWorker.objects.create(name="ocr", addresses=["https://ocr.example.com"], secret="whsec_x")
    steps = ({"tool": "DOCUMENT_READ"}, {"tool": "HTTP_REQUEST"}, {"tool": "EXTERNAL_WORKER"}, {"tool": "NOWHERE"})
    page = text(at_alice.post("/jobs/new", form(*steps, act="refresh")))
    assert "Returns the text of an indexed document" in page
    assert "documentId (required)" in page
    assert f'<option value="{document.client_id}">hello.txt</option>' in page
    assert 'type="number" name="step-1-arg-page"' in page
    assert '<option value="PATCH">PATCH</option>' in page
    assert '<option value="ocr">ocr</option>' in page
    assert "How long the worker may be silent; each callback restarts this time" in page
    assert '<option value="NOWHERE" selected>NOWHERE</option>' in page


def test_documents_of_others_are_not_offered(alice: User, at_bob: Client) -> None:
    upload(alice, "Hello.", "hello.txt")
    assert "hello.txt" not in text(at_bob.post("/jobs/new", form({"tool": "DOCUMENT_READ"}, act="refresh")))


def test_secrets_are_offered_where_a_grant_allows_them(alice: User, at_alice: Client, at_bob: Client) -> None:
    group = Group.objects.create(name="callers")
    alice.groups.add(group)
    places = ["header:authorization", "query:key", "body:a.b"]
    grant = SecretGrant.objects.create(secret="CRM", hosts=["api.example.com:443"], places=places)
    grant.groups.add(group)
    sent = form({"tool": "HTTP_REQUEST"}, {"tool": "DOCUMENT_READ"}, act="refresh")
    page = text(at_alice.post("/jobs/new", sent))
    assert "<code>authorization: {{secret.CRM}}</code> goes to api.example.com:443" in page
    assert "<code>key={{secret.CRM}}</code>" in page
    assert page.count("<code>{{secret.CRM}}</code>") == 2, "in json and in body"
    assert "secret.CRM" not in text(at_bob.post("/jobs/new", sent))


def test_to_json_and_back(at_alice: Client) -> None:
    """Nothing is lost or changed, whatever the field."""
    shown = at_alice.post("/jobs/new", {"view": "json", "body": json.dumps(FULL), "act": "form"})
    assert shown.status_code == 200
    sent: dict[str, Any] = {"step": [row.key for row in rows(shown)], "act": "json"}
    builder = shown.context["editor"].builder
    for part in (builder.job, *builder.steps):
        sent |= {part.add_prefix(name): value for name in part.fields if (value := part[name].value())}
    back = at_alice.post("/jobs/new", {name: _as_browsers_send(value) for name, value in sent.items()})
    assert back.status_code == 200, [row.errors for row in rows(back)]
    assert json.loads(back.context["editor"].json["body"].value()) == FULL


def _as_browsers_send(value: Any) -> Any:
    return value.replace("\n", "\r\n") if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("arguments", "given_by"),
    [
        ({"query": "x"}, "fields"),
        ({"query": "x", "unknown": 1}, "json"),
        ({"query": 5}, "json"),
        ({"query": "x", "limit": "5"}, "json"),
        ({"query": "x", "limit": 5.0}, "json"),
        ({"query": "x", "limit": True}, "json"),
        ({"query": "x", "tag": None}, "json"),
        ({"query": ""}, "json"),
        ({"query": "a\r\nb"}, "json"),
        ({"query": " a\nb "}, "fields"),
    ],
)
def test_arguments_that_fit_into_no_field_stay_json(at_alice: Client, arguments: Any, given_by: str) -> None:
    steps = [{"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": arguments}]
    payload = {"workflowName": "Any", "steps": steps}
    shown = at_alice.post("/jobs/new", {"view": "json", "body": json.dumps(payload), "act": "form"})
    (row,) = rows(shown)
    assert row["given_by"].value() == given_by
    if given_by == "json":
        assert json.loads(row["json"].value()) == arguments


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"jobType": "bulk-documents"}, "Only workflows have a form"),
        ({"tags": ["beside the payload"]}, "no field for tags"),
        ({"idempotencyKey": "k"}, "no field for idempotencyKey"),
        ({"priority": 5}, "no field for priority"),
        ({"payload": []}, "Only workflows have a form"),
        ({"payload": {**PASTED, "steps": {}}}, "steps is not a list"),
        ({"payload": {**PASTED, "steps": [1]}}, "steps is not a list"),
        ({"payload": {**PASTED, "tags": ["a,b"]}}, "no field for payload.tags"),
        ({"payload": {**PASTED, "steps": [{"name": "One", "tool": 5}]}}, "no field for payload.steps.0.tool"),
        ({"payload": {**PASTED, "steps": [{"name": "One", "dependsOn": ["Two"]}]}}, "payload.steps.0.dependsOn"),
        ({"payload": {**PASTED, "steps": [{"name": "One", "color": "red"}]}}, "payload.steps.0.color"),
        ({"payload": {**PASTED, "steps": [{"name": "One", "maxAttempts": "5"}]}}, "payload.steps.0.maxAttempts"),
        ({"payload": {**PASTED, "steps": [{"name": "One"}] * 51}}, "at most 50 steps"),
    ],
)
def test_json_that_has_no_form(at_alice: Client, change: Any, lost: str) -> None:
    body = json.dumps({"jobType": "workflow", "payload": PASTED, **change})
    response = at_alice.post("/jobs/new", {"view": "json", "body": body, "act": "form"})
    assert response.status_code == 400
    assert lost in str(response.context["editor"].json.errors["body"])
    assert response.context["editor"].json["body"].value() == body, "it stays as it was entered"


@pytest.mark.parametrize("body", [PASTED, {"jobType": "workflow", "payload": PASTED, "priority": "high"}])
def test_start_from_json(at_alice: Client, body: dict[str, Any]) -> None:
    assert 'name="view" value="json"' in text(at_alice.get("/jobs/new?view=json"))
    response = at_alice.post("/jobs/new", {"view": "json", "body": json.dumps(body)})
    job = WorkflowExecution.objects.get(name="Pasted")
    assertRedirects(response, f"/jobs/{job.pk}")
    assert job.queue == body.get("priority", "normal")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"steps": []}', '{"jobType": "nonsense", "payload": {}}'])
@pytest.mark.parametrize("act", ["start", "check", "save"])
def test_json_of_what_is_no_job(at_alice: Client, body: str, act: str) -> None:
    sent = {"view": "json", "body": body, "act": act, "save-name": "any"}
    response = at_alice.post("/jobs/new", sent)
    assert response.status_code == 400
    assert response.context["editor"].json.errors["body"]
    assert not WorkflowExecution.objects.exists()


def test_save(alice: User, at_alice: Client) -> None:
    sent = form({"name": "One"}, name="Kept", act="save", **{"save-name": "kept", "save-isShared": "on"})
    saved = at_alice.post("/jobs/new", sent)
    workflow = SavedWorkflow.objects.get()
    assertRedirects(saved, f"/workflows/{workflow.pk}")
    assert (workflow.owner, workflow.name, workflow.is_shared) == (alice, "kept", True)
    assert workflow.payload == {"workflowName": "Kept", "mode": "General", "steps": [{"name": "One"}]}
    assert "You have a workflow named kept already" in str(
        at_alice.post("/jobs/new", sent).context["editor"].save.errors
    )
    unnamed = at_alice.post("/jobs/new", sent | {"save-name": ""})
    assert unnamed.context["editor"].save.errors["name"]
    assert not WorkflowExecution.objects.exists()


@pytest.fixture
def kept(alice: User) -> SavedWorkflow:
    return save_workflow(alice, {"name": "kept", "payload": FULL["payload"], "is_shared": True})


def test_edit_a_saved_workflow(kept: SavedWorkflow, alice: User, at_alice: Client) -> None:
    opened = at_alice.get(f"/jobs/new?workflow={kept.pk}")
    assert names(opened) == ["Search", "Call", "Choose", "Nothing", "Join"]
    assert "Save new version" in text(opened)
    sent = form({"name": "New"}, name="Other", workflow=str(kept.pk), version="1", act="update")
    assertRedirects(at_alice.post("/jobs/new", sent), f"/workflows/{kept.pk}")
    kept.refresh_from_db()
    assert (kept.version, kept.payload["workflowName"]) == (2, "Other")
    again = at_alice.post("/jobs/new", sent)
    assert again.status_code == 400
    assert "The newest version is 2" in text(again), "a change since the page was opened is not overwritten"
    assert at_alice.post("/jobs/new", sent | {"workflow": ""}).status_code == 400


def test_others_may_run_a_shared_workflow_but_not_change_it(
    kept: SavedWorkflow, alice: User, at_bob: Client, at_charlie: Client
) -> None:
    opened = at_bob.get(f"/jobs/new?workflow={kept.pk}")
    assert names(opened)
    assert "Save new version" not in text(opened)
    sent = form({"name": "New"}, name="Other", workflow=str(kept.pk), version="1", act="update")
    assert at_bob.post("/jobs/new", sent).status_code == 404
    change_workflow(alice, kept, {"is_shared": False})
    assert at_bob.get(f"/jobs/new?workflow={kept.pk}").status_code == 404
    assert at_bob.post("/jobs/new", sent | {"act": "start"}).status_code == 404
    assert at_charlie.post("/jobs/new", sent).status_code == 302


def test_run_a_finished_job_again_changed(alice: User, at_alice: Client, at_bob: Client) -> None:
    job = start_job(alice, priority="high")
    complete_all(job)
    opened = at_alice.get(f"/jobs/new?job={job.pk}")
    assert names(opened) == ["One", "Two"]
    assert 'name="priority"' not in text(opened), "the options of the job stay"
    sent = form({"name": "One"}, {"name": "Better"}, name="Again", job=str(job.pk), key="k")
    first, second = (at_alice.post("/jobs/new", sent)["Location"] for _ in range(2))
    assert first == second
    again = WorkflowExecution.objects.get(name="Again")
    assert (again.rerun_of, again.queue) == (job.pk, "high")
    assert at_bob.get(f"/jobs/new?job={job.pk}").status_code == 404
    assert at_bob.post("/jobs/new", sent).status_code == 404
    unfinished = start_job(alice)
    response = at_alice.post("/jobs/new", sent | {"job": str(unfinished.pk), "key": ""})
    assert response.status_code == 400
    assert "Only a finished job can be run again" in text(response)
    assert at_alice.get("/jobs/new?job=none").status_code == 404
