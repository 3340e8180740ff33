"""GET /api/jobs"""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from jobs.display import describe_jobs
from tests.support.jobs import BODY, claim, complete_all, fail, start_job
from workflows import engine
from workflows.models import WorkflowExecution


def names(client: Client, query: str = "") -> list[str]:
    response = client.get(f"/api/jobs{query}")
    assert response.status_code == 200, response.json()
    return [job["name"] for job in response.json()["jobs"]]


def named(user: User, name: str, **changes: object) -> WorkflowExecution:
    return start_job(user, payload=BODY["payload"] | {"workflowName": name} | changes.pop("payload", {}), **changes)


def test_it_works(as_alice: Client, alice: User) -> None:
    first, second = named(alice, "first"), named(alice, "second")
    response = as_alice.get("/api/jobs/")
    body = response.json()
    assert [job["jobId"] for job in body["jobs"]] == [str(second.pk), str(first.pk)]
    assert body["nextCursor"] is None
    job = body["jobs"][0]
    assert "steps" not in job
    assert "payload" not in job
    assert job["status"] == "queued"
    assert (job["isFinished"], job["output"], job["error"], job["durationMs"]) == (False, None, None, None)
    assert job["progress"] == {"total": 2, "completed": 0, "failed": 0, "percent": 0, "message": ""}


def test_unfinished_jobs_are_the_default(as_alice: Client, alice: User) -> None:
    named(alice, "open")
    complete_all(named(alice, "done"))
    engine.cancel(named(alice, "gone").pk, actor="alice")
    assert names(as_alice) == ["open"]
    assert names(as_alice, "?status=all") == ["gone", "done", "open"]
    assert names(as_alice, "?status=completed&status=cancelled") == ["gone", "done"]


def test_other_users_do_not_see_it(as_bob: Client, as_charlie: Client, alice: User, bob: User) -> None:
    named(alice, "hers")
    named(bob, "his")
    assert names(as_bob) == names(as_bob, "?owner=all") == ["his"]
    assert names(as_bob, "?owner=alice") == []
    assert names(as_charlie) == []
    assert names(as_charlie, "?owner=all") == ["his", "hers"]
    assert names(as_charlie, "?owner=alice") == ["hers"]


def test_filters(as_alice: Client, alice: User) -> None:
    named(alice, "Sales of May", payload={"mode": "Sales"}, tags=["May", "x"])
    named(alice, "Rest", projectId="p1", payload={"workflowDescription": "100% of may"})
    assert names(as_alice, "?mode=Sales") == ["Sales of May"]
    assert names(as_alice, "?projectId=p1") == ["Rest"]
    assert names(as_alice, "?tag=x") == ["Sales of May"]
    assert names(as_alice, "?q=MAY") == ["Rest", "Sales of May"]
    assert names(as_alice, "?q=100%25") == ["Rest"]
    assert names(as_alice, "?type=workflow&q=sales") == ["Sales of May"]
    assert names(as_alice, "?type=bulk-documents") == []


@pytest.mark.parametrize(
    ("query", "attr"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("status=done", "status.0"),
        ("projectid=p", "projectid"),
        ("q=%00", "q"),
        (f"q={'x' * 1001}", "q"),
    ],
)
def test_it_refuses(as_alice: Client, query: str, attr: str) -> None:
    response = as_alice.get(f"/api/jobs?{query}")
    assert response.status_code == 400
    assert [error["attr"] for error in response.json()["errors"]] == [attr]


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("status=done", "queued, running, waiting, completed, completed_with_errors, failed, cancelled, all"),
        ("projectid=p", "limit, cursor, type, mode, projectId, tag, q, owner, input, status, jobId"),
    ],
)
def test_the_error_lists_what_is_known(as_alice: Client, query: str, known: str) -> None:
    (error,) = as_alice.get(f"/api/jobs?{query}").json()["errors"]
    assert error["detail"].endswith(f": {known}.")


def test_pages(as_alice: Client, alice: User) -> None:
    for number in range(5):
        named(alice, str(number))
    seen, cursor = [], ""
    for _ in range(3):
        body = as_alice.get(f"/api/jobs?limit=2&cursor={cursor}").json()
        seen += [job["name"] for job in body["jobs"]]
        cursor = body["nextCursor"]
    assert seen == ["4", "3", "2", "1", "0"]
    assert cursor is None


def test_a_cursor_of_another_list_is_refused(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    cursor = as_alice.get(f"/api/jobs/{job.pk}/steps?limit=1").json()["nextCursor"]
    assert as_alice.get(f"/api/jobs?cursor={cursor}").status_code == 400


def test_a_page_costs_the_same_for_any_number_of_jobs(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        start_job(alice)
        start_job(alice, delaySeconds=60)
        complete_all(start_job(alice), {"text": "done"})
        fail(claim(start_job(alice).pk)[0])
        claim(start_job(alice).pk)
    rows = list(WorkflowExecution.objects.select_related("owner"))
    for few in (rows, rows[:5]):
        with django_assert_num_queries(10):  # one more than with a worker that is alive
            describe_jobs(few, max_output=1000)


def test_not_modified(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    tag = as_alice.get("/api/jobs")["ETag"]
    again = as_alice.get("/api/jobs", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    start_job(alice)  # changes the other's place in the queue, and the list
    assert as_alice.get("/api/jobs", headers={"if-none-match": tag}).status_code == 200
    tag = as_alice.get(f"/api/jobs/{execution.pk}")["ETag"]
    claim(execution.pk)
    assert as_alice.get(f"/api/jobs/{execution.pk}", headers={"if-none-match": tag}).status_code == 200
