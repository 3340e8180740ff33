"""GET /api/jobs/<id>/steps"""

from django.contrib.auth.models import User
from django.test import Client

from tests.support.jobs import claim, fail, start_job


def test_it_works(as_alice: Client, alice: User) -> None:
    names = [f"s{number}" for number in range(120)]
    execution = start_job(alice, payload={"workflowName": "w", "steps": [{"name": name} for name in names]})
    address = f"/api/jobs/{execution.pk}"
    job = as_alice.get(address).json()
    assert [step["name"] for step in job["steps"]] == names[:100]
    rest = as_alice.get(f"{address}/steps?cursor={job['stepsNextCursor']}").json()
    assert [step["name"] for step in rest["steps"]] == names[100:]
    assert rest["steps"][0]["dependsOn"] == ["s99"]
    assert rest["nextCursor"] is None
    assert len(as_alice.get(f"{address}/steps").json()["steps"]) == 50


def test_status(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0])
    address = f"/api/jobs/{execution.pk}/steps"

    def names(query: str) -> list[str]:
        return [step["name"] for step in as_alice.get(f"{address}?{query}").json()["steps"]]

    assert names("status=failed") == ["One"]
    assert names("status=skipped") == ["Two"]
    assert names("status=skipped&status=failed") == ["One", "Two"]
    assert as_alice.get(f"{address}?status=broken").status_code == 400


def test_the_next_attempt(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0], "busy", retryable=True)
    step = as_alice.get(f"/api/jobs/{execution.pk}/steps").json()["steps"][0]
    assert (step["status"], step["attempt"], step["error"]["message"]) == ("waiting", 1, "busy")
    assert step["nextAttemptAt"].endswith("Z")
