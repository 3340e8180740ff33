"""Every call, against the real web server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiworkstation_client import (
    BadRequest,
    Conflict,
    Forbidden,
    Job,
    JobFailed,
    NotAuthenticated,
    NotFound,
    Throttled,
    WaitTimedOut,
    calls,
)
from django.contrib.auth.models import User

from aiworkstation.access.models import ApiToken
from tests.clients.python.conftest import MakeClient
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from tests.support.runner import work
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = [{"name": "One", "description": "First."}, {"name": "Two"}]


def stored(job_id: str) -> WorkflowExecution:
    return WorkflowExecution.objects.get(pk=job_id)


@pytest.fixture
def document(client: Any, tmp_path: Path) -> Any:
    path = tmp_path / "contract.txt"
    path.write_text("The notice period is four weeks.")
    return client.upload(path, id="doc1", tags=["legal", "2025"], project_id="p1")


def test_a_workflow(client: Any) -> None:
    started = client.start_workflow(
        "Review",
        STEPS,
        description="What it is for",
        model_id="offline",
        mode="Sales",
        tags=("a", "b"),
        project_id="p1",
        priority="high",
        max_parallel=2,
        delay_seconds=60,
    )
    job = client.get_job(started)
    assert (job.name, job.description, job.mode, job.model_id) == ("Review", "What it is for", "Sales", "offline")
    assert (job.tags, job.project_id, job.priority, job.status) == (["a", "b"], "p1", "high", "waiting")
    assert [step.name for step in job.steps] == ["One", "Two"]
    assert job.steps[1].depends_on == ["One"]
    assert job.created_at.tzinfo is not None
    assert job.raw["jobId"] == started.job_id


def test_jobs_of_documents(client: Any, document: Any) -> None:
    bulk = client.get_job(
        client.start_bulk_documents([document], chunk_size=300, overlap=50, tags=["new"], mode="Sales")
    )
    assert (bulk.job_type, bulk.payload["chunkSize"], bulk.priority) == ("bulk-documents", 300, "low")
    again = client.get_document("doc1")
    assert (set(again.tags), again.mode) == ({"legal", "2025", "new"}, "Sales")
    reprocess = client.get_job(client.start_reprocess(["doc1"], chunk_size=300))
    assert (reprocess.job_type, reprocess.payload["newChunkSize"]) == ("document-reprocess", 300)


def test_any_type(client: Any) -> None:
    started = client.start("workflow", {"workflowName": "W", "steps": STEPS}, priority="low")
    assert client.get_job(started.job_id).priority == "low"


def test_each_call_has_a_key_of_its_own(client: Any) -> None:
    assert client.start_workflow("W", STEPS).job_id != client.start_workflow("W", STEPS).job_id
    first = client.start_workflow("W", STEPS, idempotency_key="k")
    assert client.start_workflow("W", STEPS, idempotency_key="k").job_id == first.job_id
    with pytest.raises(Conflict) as caught:
        client.start_workflow("Other", STEPS, idempotency_key="k")
    assert caught.value.code == "idempotency_key_reused"


def test_a_text_is_no_list_of_letters(client: Any, document: Any, tmp_path: Path) -> None:
    calls_with_a_text: list[Callable[[], Any]] = [
        lambda: client.start_bulk_documents("doc1"),
        lambda: client.start_reprocess("doc1"),
        lambda: client.bulk("cancel", jobs="j1"),
        lambda: client.upload(tmp_path / "contract.txt", tags="legal"),
    ]
    for call in calls_with_a_text:
        with pytest.raises(ValueError, match="must be a list"):
            call()
    with pytest.raises(BadRequest) as caught:
        client.start_workflow("W", STEPS, tags="legal")
    assert list(caught.value.fields) == ["payload.tags"]


@pytest.mark.parametrize("key", ["", " ", "a\r\nX-Evil: 1", "ä", "a\x00"])
def test_odd_keys(client: Any, key: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        client.start_workflow("W", STEPS, idempotency_key=key)
    with pytest.raises(ValueError, match="visible ASCII"):
        client.request("POST", "/api/jobs", json={}, idempotency_key=key)


def test_a_saved_workflow(client: Any) -> None:
    payload = {"workflowName": "Weekly", "steps": STEPS}
    saved = client.save_workflow("weekly", payload, is_shared=True)
    assert (saved.version, saved.is_shared, saved.owner) == (1, True, "alice")
    with pytest.raises(Conflict, match="weekly"):
        client.save_workflow("weekly", payload)
    assert client.get_workflow("weekly").payload == payload
    assert [each.name for each in client.workflows()] == ["weekly"]
    job = client.get_job(client.run_workflow("weekly", tags=["t"], version=1, owner="alice"))
    assert (job.workflow, job.workflow_version, job.tags) == ("weekly", 1, ["t"])


def test_waiting_reports_each_change(client: Any, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # the callback uses the database in the client's loop
    execution = start_job(alice)
    seen: list[Job] = []

    def on_change(job: Job) -> None:
        seen.append(job)
        if found := claim(execution.pk):
            complete(found[0], {"text": f"output {len(seen)}"})

    job = client.wait(str(execution.pk), on_change=on_change)
    assert [each.progress.completed for each in seen] == [0, 1, 2]
    assert (job.status, job.output) == ("completed", {"text": "output 2"})


def test_a_job_that_fails_is_an_exception(client: Any, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0], "the disk is full")
    with pytest.raises(JobFailed, match="the disk is full") as caught:
        client.wait(str(execution.pk))
    assert caught.value.job.status == "failed"
    assert client.wait(str(execution.pk), check=False).error.message == "the disk is full"


def test_waiting_can_end_early(client: Any, alice: User) -> None:
    execution = start_job(alice)
    with pytest.raises(WaitTimedOut, match="It continues") as caught:
        client.wait(str(execution.pk), timeout=0.1)
    assert caught.value.job.job_id == str(execution.pk)
    assert isinstance(caught.value, TimeoutError)


def test_lists_are_read_to_their_end(client: Any, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    started = [str(start_job(alice, tags=["t"] if number else []).pk) for number in range(5)]
    assert [job.job_id for job in client.jobs()] == started[::-1]
    assert [job.job_id for job in client.jobs(tag="t", status=["queued", "running"])] == started[:0:-1]
    assert list(client.jobs(status="failed")) == []
    assert len(list(client.jobs(input='workflowName="Two steps"'))) == 5
    assert [step.name for step in client.steps(started[0])] == ["One", "Two"]
    assert list(client.steps(started[0], status="completed")) == []
    assert next(iter(client.events(started[0]))).action == "job.queued"


def test_cancel_and_retry(client: Any, alice: User) -> None:
    job = client.get_job(str(start_job(alice).pk))
    assert client.cancel(job).status == "cancelled"
    with pytest.raises(Conflict) as caught:
        client.cancel(job)
    assert (caught.value.status, caught.value.code) == (409, "wrong_state")
    assert client.retry(job).status == "queued"


def test_retry_of_a_step(client: Any, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0])
    step = next(client.steps(str(execution.pk), status="failed"))
    assert client.get_step(str(execution.pk), step).attempts[0].status == "failed"
    assert client.retry_step(str(execution.pk), step).status == "queued"


def test_rerun(client: Any, alice: User) -> None:
    execution = start_job(alice)
    complete_all(execution, {"text": "x"})
    assert client.preview_rerun(str(execution.pk), from_step="Two").reused.steps == 1
    again = client.rerun(str(execution.pk), from_step=1)
    assert (again.rerun_of, again.reused.steps) == (str(execution.pk), 1)
    with pytest.raises(BadRequest) as caught:
        client.rerun(str(execution.pk), from_step="Three")
    assert list(caught.value.fields) == ["fromStep"]


def test_bulk(client: Any, alice: User) -> None:
    jobs = [client.get_job(str(start_job(alice, tags=["t"]).pk)) for _ in range(2)]
    found = client.preview_bulk("cancel", filter={"tag": "t", "status": ("queued",)})
    assert (found.matches, found.by_status) == (2, {"queued": 2})
    assert client.bulk("priority", jobs=jobs, priority="high").job_type == "bulk-action"
    with pytest.raises(ValueError, match="one of the two"):
        client.bulk("cancel")


def test_questions(client: Any, alice: User) -> None:
    steps = [
        {"name": f"Ask {n}", "tool": "APPROVAL", "arguments": {"question": "Send?"}, "dependsOn": []} for n in (1, 2)
    ]
    started = client.start_workflow("Ask", steps)
    work(stored(started.job_id), until_waiting=True)
    first, second = client.steps(started, status="waiting")
    assert first.approval.question == "Send?"
    assert client.approve(started, first, comment="fine").approval.answer == "approved"
    assert client.reject(started, second.step_id).approval.answer == "rejected"


def test_outputs_of_any_size(client: Any, alice: User, tmp_path: Path) -> None:
    execution = start_job(alice)
    large = {"text": "x" * 300_000}
    complete_all(execution, large)
    job = client.wait(str(execution.pk))
    assert job.output["tooLarge"] is True
    assert client.output(job) == large
    assert client.output(job, job.steps[0]) == large
    target = client.download_output(job, tmp_path / "out.json")
    assert target.stat().st_size == job.output["size"]
    assert list(tmp_path.iterdir()) == [target]


def test_deleting(client: Any, alice: User, document: Any) -> None:
    execution = start_job(alice)
    with pytest.raises(Conflict):
        client.delete_job(str(execution.pk))
    client.cancel(str(execution.pk))
    client.delete_job(str(execution.pk))
    with pytest.raises(NotFound):
        client.get_job(str(execution.pk))
    client.delete_document(document)
    with pytest.raises(NotFound):
        client.delete_document(document)


def test_documents(client: Any, document: Any, tmp_path: Path) -> None:
    assert (document.id, document.tags, document.project_id) == ("doc1", ["legal", "2025"], "p1")
    assert [each.uid for each in client.documents(tag="legal", project_id="p1")] == [document.uid]
    assert list(client.documents(status=["indexed"])) == []
    assert (client.text(document), list(client.chunks(document))) == ([], [])
    target = client.download_file(document, tmp_path / "copy.txt")
    assert target.read_text() == "The notice period is four weeks."


def test_tools_and_modes(client: Any) -> None:
    assert "DOCUMENT_SEARCH" in {each.tool for each in client.tools()}
    assert {each.mode for each in client.modes()} >= {"General", "Sales"}


def test_any_other_address(client: Any) -> None:
    assert client.request("get", "/api/schedules", query=[("limit", "1")]) == {"schedules": [], "nextCursor": None}
    with pytest.raises(ValueError, match="/api/"):
        client.request("GET", "https://example.com/api/jobs")


def test_errors_name_their_fields(client: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        client.start_workflow("W", [{"name": "One", "tool": "NO_SUCH_TOOL"}], mode="Sale")
    assert set(caught.value.fields) == {"payload.steps.0.tool", "payload.mode"}
    assert "payload.mode: There is no mode Sale" in str(caught.value)
    assert caught.value.request_id


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a?b", "ä"])
def test_odd_ids_reach_no_other_address(client: Any, id: str) -> None:
    with pytest.raises((ValueError, NotFound)):
        client.get_job(id)


def test_tokens(make_client: MakeClient, site: int, alice: User) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        list(make_client(f"http://127.0.0.1:{site}", "wrong-token").jobs())
    assert caught.value.code == "authentication_failed"
    reader = make_client(f"http://127.0.0.1:{site}", ApiToken.issue(alice, scopes=["read"])[1])
    with pytest.raises(Forbidden) as refused:
        reader.start_workflow("W", STEPS)
    assert refused.value.code == "insufficient_scope"


def test_the_rate_of_the_server_is_obeyed(client: Any, settings: Any, pauses: list[float]) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"api_rate": 2})
    with pytest.raises(Throttled):
        start_many(client, 20)  # a minute may end in between
    assert len(pauses) >= 5
    assert all(1 <= pause <= 60 for pause in pauses)


def start_many(client: Any, number: int) -> None:
    for _ in range(number):
        client.start_workflow("W", STEPS)


def test_another_users_job_is_not_there(client: Any, bob: User) -> None:
    with pytest.raises(NotFound):
        client.get_job(str(start_job(bob).pk))
