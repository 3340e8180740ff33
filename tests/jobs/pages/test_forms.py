"""JSON in the fields of pages is as strict as the bodies of the API."""

import pytest
from django.test import Client

from jobs.models import SavedWorkflow
from tests.support.html import text
from workflows.models import WorkflowExecution

UNSTORABLE = "NUL or half of a surrogate pair"
HOSTILE = [
    (r'{"payload": {"workflowName": "\ud800", "steps": [{"name": "a"}]}}', UNSTORABLE),
    (r'{"workflowName": "x", "steps": [{"name": "a", "description": "\u0000"}]}', UNSTORABLE),
    (r'{"\udfff": 1}', UNSTORABLE),
    ("null", "Enter a JSON object"),
    ("[]", "Enter a JSON object"),
]


@pytest.mark.parametrize("act", ["check", "start", "form", "save"])
@pytest.mark.parametrize(("body", "message"), HOSTILE)
def test_the_json_of_a_new_job(at_alice: Client, act: str, body: str, message: str) -> None:
    form = {"view": "json", "act": act, "body": body, "save-name": "zz"}
    assert message in text(at_alice.post("/jobs/new", form))
    assert not WorkflowExecution.objects.exists()
    assert not SavedWorkflow.objects.exists()
