"""A step whose usage is odd: the job, its page and every list that holds it are shown."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.support.html import text
from tests.support.jobs import claim, complete, start_job
from workflows.model_usage import MAX_TOKENS

SOUND = {"inputTokens": 2, "outputTokens": 3, "costUsd": "0.5"}
NONE = (0, 0, None)


def plant(job: Any, usage: str) -> None:
    """Writes JSON text as it is into the first step, which Python's JSON may not be able to write."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE workflow_steps SET usage = %s::jsonb WHERE execution_id = %s AND index = 0", [usage, job.pk]
        )


@pytest.mark.parametrize(
    ("usage", "shown"),
    [
        ('{"inputTokens": 12.7, "outputTokens": 1e2, "costUsd": 0.25}', (12, 100, "0.25")),
        ('{"inputTokens": 1e400, "outputTokens": 99999999999999999999, "costUsd": "1e400"}',
         (MAX_TOKENS, MAX_TOKENS, None)),
        ('{"inputTokens": -5, "outputTokens": -0.5, "costUsd": "-1"}', NONE),
        ('{"inputTokens": "NaN", "outputTokens": "12", "costUsd": "NaN"}', NONE),
        ('{"inputTokens": "", "outputTokens": null, "costUsd": ""}', NONE),
        ('{"inputTokens": "Infinity", "outputTokens": "-Infinity", "costUsd": "Infinity"}', NONE),
        ('{"inputTokens": true, "outputTokens": false, "costUsd": true}', NONE),
        ('{"inputTokens": {"a": 1}, "outputTokens": [1], "costUsd": {"usd": 1}}', NONE),
        ('{"inputTokens": 1, "outputTokens": 1, "costUsd": "1E-7"}', (1, 1, "1E-7")),
        ('{"inputTokens": 1, "outputTokens": 1, "costUsd": "٣"}', (1, 1, None)),
        ('{"inputTokens": 1, "outputTokens": 1, "costUsd": "0.5\\n"}', (1, 1, None)),
        ('{"inputTokens": 1}', (1, 0, None)),
        ("{}", NONE),
        ("[]", None), ('"many"', None), ("17", None), ("true", None), ("null", None),
    ],
)  # fmt: skip
def test_it_breaks_nothing(
    alice: User, as_alice: Client, at_alice: Client, usage: str, shown: tuple[int, int, str | None] | None
) -> None:
    job, other = start_job(alice), start_job(alice)
    for each in (job, other):
        complete(claim(each.pk)[0], "x", model="m")
        each.steps.update(usage=SOUND)
    plant(job, usage)
    for path in ("/api/jobs", f"/api/jobs/{job.pk}", f"/api/jobs/{job.pk}/steps"):
        assert as_alice.get(path).status_code == 200, path
    for path in ("/jobs/", "/jobs/panel", f"/jobs/{job.pk}", f"/jobs/{job.pk}/steps/0"):
        assert text(at_alice.get(path))
    body = as_alice.get(f"/api/jobs/{job.pk}").json()
    names = ("inputTokens", "outputTokens", "costUsd")
    step = body["steps"][0]["usage"]
    assert (step if step is None else tuple(step[name] for name in names)) == shown
    # The other step's are sound: 2 in, 3 out, 0.5 dollars.
    tokens_in, tokens_out, cost = shown or (0, 0, "0")
    assert (body["usage"]["inputTokens"], body["usage"]["outputTokens"]) == (tokens_in + 2, tokens_out + 3)
    known = None if cost is None else float(cost) + 0.5
    assert (None if body["usage"]["costUsd"] is None else float(body["usage"]["costUsd"])) == known
    listed = {row["jobId"]: row for row in as_alice.get("/api/jobs").json()["jobs"]}
    assert listed[str(other.pk)]["usage"] == {"inputTokens": 4, "outputTokens": 6, "costUsd": "1.0"}
    json.dumps(listed, allow_nan=False)
