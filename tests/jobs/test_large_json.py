"""JSON that may be large: outputs, arguments and payloads."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from jobs.large_json import MAX_OUTPUT, LargeJson, open_whole, read_up_to
from tests.support.jobs import claim, complete, complete_all, start_job
from workflows.models import WorkflowExecution, WorkflowStep

LARGE = {"text": "x" * 300_000, "name": "Größe 😀"}
ONE_STEP = {"workflowName": "w", "steps": [{"name": "One"}]}


def body_of(client: Client, url: str) -> bytes:
    response = client.get(url)
    assert response.status_code == 200
    return b"".join(response)


def finished(user: User, output: object, **changes: object) -> WorkflowExecution:
    job = start_job(user, **({"payload": ONE_STEP} | changes))
    complete_all(job, output)
    return job


@contextmanager
def no_output_read() -> Iterator[None]:
    with CaptureQueriesContext(connection) as queries:
        yield
    reads = [query["sql"] for query in queries if '"output"' in query["sql"] or "output::text" in query["sql"]]
    assert not reads


def test_it_works(alice: User) -> None:
    job = finished(alice, LARGE)
    (step,) = WorkflowStep.objects.filter(execution=job)
    found = read_up_to(MAX_OUTPUT, WorkflowStep, "output", [step.pk])[step.pk]
    assert isinstance(found, LargeJson)
    with open_whole(WorkflowStep, "output", step.pk) as file:
        whole = file.read()
    assert json.loads(whole) == LARGE
    assert found.size == len(whole)
    assert whole.decode().startswith(found.beginning)
    assert read_up_to(found.size, WorkflowStep, "output", [step.pk]) == {step.pk: LARGE}
    assert read_up_to(MAX_OUTPUT, WorkflowStep, "output", []) == {}


def test_a_job_and_its_steps_name_the_address_of_a_large_output(as_alice: Client, alice: User) -> None:
    job = finished(alice, LARGE)
    address = f"/api/jobs/{job.pk}"
    found = as_alice.get(address).json()
    step = f"{address}/steps/{found['steps'][0]['stepId']}"
    size = len(body_of(as_alice, f"{step}/output"))
    large = {"tooLarge": True, "size": size, "url": f"{step}/output"}
    assert found["output"] == large | {"url": f"{address}/output"}
    assert found["steps"][0]["output"] == large
    assert as_alice.get(f"{address}/steps").json()["steps"][0]["output"] == large
    assert as_alice.get(step).json()["output"] == large
    assert json.loads(body_of(as_alice, f"{address}/output")) == LARGE
    assert json.loads(body_of(as_alice, f"{step}/output")) == LARGE


def test_an_output_of_256_kb_is_not_too_large(as_alice: Client, alice: User) -> None:
    text = "x" * (MAX_OUTPUT - len('""'))
    assert as_alice.get(f"/api/jobs/{finished(alice, text).pk}").json()["output"] == text
    assert as_alice.get(f"/api/jobs/{finished(alice, text + 'x').pk}").json()["output"]["size"] == MAX_OUTPUT + 1


@pytest.mark.parametrize("output", [None, False, [], "text", {"a": 1}])
def test_every_output_has_an_address(as_alice: Client, alice: User, output: object) -> None:
    job = finished(alice, output)
    (step,) = WorkflowStep.objects.filter(execution=job)
    assert json.loads(body_of(as_alice, f"/api/jobs/{job.pk}/output")) == output
    assert json.loads(body_of(as_alice, f"/api/jobs/{job.pk}/steps/{step.pk}/output")) == output


def test_no_output_yet(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    (step, _) = WorkflowStep.objects.filter(execution=job)
    for url in ("output", f"steps/{step.pk}/output", f"steps/{step.pk}/arguments"):
        assert body_of(as_alice, f"/api/jobs/{job.pk}/{url}") == b"null"
    assert json.loads(body_of(as_alice, f"/api/jobs/{job.pk}/payload"))["workflowName"] == "Two steps"


@pytest.mark.parametrize("below", ["", "/output", "/arguments"])
def test_others_are_refused(as_bob: Client, as_charlie: Client, alice: User, below: str) -> None:
    job = finished(alice, "hers")
    (step,) = WorkflowStep.objects.filter(execution=job)
    url = f"/api/jobs/{job.pk}/steps/{step.pk}{below}"
    assert as_bob.get(url).status_code == 404
    assert as_charlie.get(url).status_code == 200
    assert as_bob.get(f"/api/jobs/{job.pk}{below or '/payload'}").status_code == 404
    other = start_job(alice)
    assert as_charlie.get(f"/api/jobs/{other.pk}/steps/{step.pk}{below}").status_code == 404, "a step of another job"
    assert as_charlie.get(f"{url}?x=1").status_code == 400


def test_not_modified(as_alice: Client, alice: User) -> None:
    job = start_job(alice, payload=ONE_STEP)
    (step,) = claim(job.pk)
    url = f"/api/jobs/{job.pk}/steps/{step.step_id}/output"
    tag = as_alice.get(url)["ETag"]
    assert as_alice.get(url, headers={"if-none-match": tag}).status_code == 304
    complete(step, "done")
    answer = as_alice.get(url, headers={"if-none-match": tag})
    assert answer.status_code == 200
    with no_output_read():
        assert as_alice.get(url, headers={"if-none-match": answer["ETag"]}).status_code == 304


def test_lists_do_not_read_outputs(as_alice: Client, alice: User) -> None:
    finished(alice, LARGE)
    with no_output_read():
        (job,) = as_alice.get("/api/jobs?status=all").json()["jobs"]
    assert job["output"] is None
    assert job["status"] == "completed"


def test_lists_shorten_long_descriptions(as_alice: Client, alice: User) -> None:
    job = finished(alice, "done", payload=ONE_STEP | {"workflowDescription": "é" * 50_000})
    (listed,) = as_alice.get("/api/jobs?status=all").json()["jobs"]
    assert listed["description"] == "é" * 1000 + "…"
    assert as_alice.get(f"/api/jobs/{job.pk}").json()["description"] == "é" * 50_000


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/panel", "/api/jobs"])
def test_lists_do_not_read_payloads(as_alice: Client, at_alice: Client, alice: User, path: str) -> None:
    start_job(alice)
    with CaptureQueriesContext(connection) as queries:
        assert (as_alice if path.startswith("/api/") else at_alice).get(path).status_code in (200, 204)
    assert not [query["sql"] for query in queries if '"payload"' in query["sql"]]


def test_twenty_jobs_with_large_outputs_are_a_small_answer(as_alice: Client, alice: User) -> None:
    for _ in range(20):
        finished(alice, "x" * 1_000_000)
    tracemalloc.start()
    answer = as_alice.get("/api/jobs?status=all")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(answer.json()["jobs"]) == 20
    assert len(answer.content) < 20_000
    assert peak < 5_000_000


def test_a_page_shows_the_beginning_of_large_json(alice: User, at_alice: Client) -> None:
    arguments = {"method": "POST", "url": "http://example.com/", "body": "y" * 3_000_000}
    steps = [{"name": "Send", "tool": "HTTP_REQUEST", "arguments": arguments, "description": "d" * 500_000}]
    payload = {"workflowName": "w", "workflowDescription": "e" * 500_000, "steps": steps}
    job = finished(alice, {"rows": ["z" * 3_000_000]}, payload=payload)
    page = at_alice.get(f"/jobs/{job.pk}")
    assert len(page.content) < 100_000
    step = job.steps.get()
    for url in (f"steps/{step.pk}/arguments", "payload", "output"):
        assert f'href="/api/jobs/{job.pk}/{url}"' in page.content.decode()
        assert len(body_of(at_alice, f"/api/jobs/{job.pk}/{url}")) > 3_000_000
    output = at_alice.get(f"/jobs/{job.pk}/steps/0")
    assert len(output.content) < 100_000
    assert f'href="/api/jobs/{job.pk}/steps/{step.pk}/output"' in output.content.decode()
