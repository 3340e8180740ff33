"""schemathesis calls every operation of the OpenAPI document, as a user and as staff, and compares the answers with it.

`EXAMPLES=100 SECONDS=1200 pytest tests/aiworkstation/web/test_openapi_conformance.py` makes more calls.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from aiworkstation.access.models import ApiToken
from tests.support.documents import index, upload
from tests.support.jobs import claim, complete_all, fail, start_job
from workflows.models import Mode

EXAMPLES = os.environ.get("EXAMPLES", "3")
SECONDS = os.environ.get("SECONDS", "40")
# What the document allows may still be refused: a mode or a document that a body names may not exist.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Their requests are signed.
EXCLUDED = ("updateStep", "updateExecution")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_staff", [False, True], ids=["user", "staff"])
def test_the_server_does_what_the_document_says(live_server: LiveServer, tmp_path: Path, is_staff: bool) -> None:
    """Slow: it makes some hundred calls."""
    Mode.objects.get_or_create(name="General")
    user = User.objects.create_user("caller", is_staff=is_staff)
    fill(user)
    _, token = ApiToken.issue(user)
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{live_server.url}/api/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--mode", "all", "--no-color",
        "--phases", "examples,fuzzing", "--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", "1",
        *(part for name in EXCLUDED for part in ("--exclude-operation-id", name)),
    ]  # fmt: skip
    found = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    assert found.returncode == 0, found.stdout[-20_000:]


def fill(user: User) -> None:
    """Jobs that completed and failed, and documents with the ids of the examples."""
    complete_all(start_job(user), {"text": "done"})
    failed = start_job(user)
    fail(claim(failed.pk)[0])
    for id in ("doc1", "doc2", "doc3"):
        index(user, upload(user, b"some text", f"{id}.txt", client_id=id))
