"""GET /api/jobs/<id>/events"""

from django.contrib.auth.models import User
from django.test import Client

from tests.support.jobs import complete_all, start_job


def test_it_works(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    start_job(alice)
    complete_all(execution)
    body = as_alice.get(f"/api/jobs/{execution.pk}/events").json()
    assert [event["action"] for event in body["events"]] == [
        "job.queued",
        "step.started",
        "job.started",
        "step.completed",
        "step.started",
        "step.completed",
        "job.completed",
    ]
    first = body["events"][0]
    assert list(first) == ["id", "at", "actor", "action", "object", "changes"]
    assert (first["actor"], first["object"]) == ("alice", f"job:{execution.pk}")
    assert isinstance(first["id"], str)
    assert first["at"].endswith("Z")
    assert body["events"][1]["object"].startswith("step:")
    page = as_alice.get(f"/api/jobs/{execution.pk}/events?limit=5").json()
    rest = as_alice.get(f"/api/jobs/{execution.pk}/events?limit=5&cursor={page['nextCursor']}").json()
    assert page["events"] + rest["events"] == body["events"]
