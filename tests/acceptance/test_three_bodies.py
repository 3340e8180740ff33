"""The three requests that the API's description gives, word for word, over HTTP."""

from io import BytesIO
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import finished
from tests.servers.hubspot_server import HubspotServer
from tests.support.processes import manage
from tests.support.three_bodies import BULK, REPROCESS, WORKFLOW


@pytest.fixture
def documents(api: httpx2.Client) -> None:
    for number in (1, 2, 3):
        text = f"Document {number}. " + "The quick brown fox jumps over the lazy dog. " * 200
        files = {"file": (f"file{number}.txt", BytesIO(text.encode()))}
        answer = api.post("/documents", files=files, data={"id": f"doc{number}"})
        assert answer.status_code == 201, answer.text


def post(api: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    started: dict[str, Any] = answer.json()
    assert answer.headers["Location"].endswith(started["url"])
    assert started == {
        "jobId": started["jobId"],
        "jobType": body["jobType"],
        "status": "queued",
        "url": f"/api/jobs/{started['jobId']}",
        "panelUrl": f"/jobs/{started['jobId']}",
    }
    return started


def test_workflow(api: httpx2.Client, worker: None, hubspot: HubspotServer) -> None:
    job = finished(api, post(api, WORKFLOW)["jobId"])
    assert job["status"] == "completed", job
    fetch, analyze, report = job["steps"]
    assert (fetch["output"]["total"], fetch["output"]["next"], fetch["attempt"]) == (100, "100", 1)
    # One 429, obeyed, and no attempt of it.
    assert len(hubspot.requests) == 2
    assert (analyze["model"], analyze["dependsOn"]) == ("offline", ["Fetch Data"])
    assert "100" in analyze["output"]["text"]
    assert job["output"] == report["output"]
    assert report["output"]["text"].startswith("# Process Sales Data")


def test_bulk_documents_and_reprocess(api: httpx2.Client, worker: None, documents: None) -> None:
    job = finished(api, post(api, BULK)["jobId"])
    assert (job["status"], job["progress"]["total"], job["priority"]) == ("completed", 2, "low")
    document = api.get("/documents/doc1").json()
    assert (document["status"], document["projectId"], document["tags"]) == (
        "indexed",
        "project-123",
        ["important", "legal"],
    )
    assert api.get("/documents/doc3").json()["status"] == "uploaded"
    job = finished(api, post(api, REPROCESS)["jobId"])
    assert (job["status"], job["progress"]["completed"]) == ("completed", 3)
    document = api.get("/documents/doc3").json()
    assert (document["status"], document["chunkSize"], document["overlap"]) == ("indexed", 500, 100)


def test_without_a_token_the_hubspot_step_fails_at_once(api: httpx2.Client, modes: None, tmp_path: Any) -> None:
    started = post(api, WORKFLOW)
    with manage("work", log=tmp_path / "log", WORKERS="1"):
        job = finished(api, started["jobId"])
    assert [step["status"] for step in job["steps"]] == ["failed", "skipped", "skipped"]
    assert job["steps"][0]["error"]["code"] == "not_configured"
    assert job["steps"][0]["attempt"] == 1
