"""An app in EXTRA_APPS adds a tool, a parser and a job type. Real processes run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from aiworkstation import BASE_DIR
from tests.support.processes import environment, manage
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)

SUBTITLES = "1\n00:00:01,000 --> 00:00:02,000\nThe kettle is singing.\n\n2\n00:00:03,000 --> 00:00:04,000\nStill.\n"


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    return subprocess.run(
        command, cwd=BASE_DIR, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_tool_a_parser_and_a_job_type(alice: User, tmp_path: Path) -> None:
    settings = {"EXTRA_APPS": "tests.example", "WORKERS": "1", "DATA_DIR": str(tmp_path)}
    subtitles = tmp_path / "film.srt"
    subtitles.write_text(SUBTITLES, encoding="latin-1")
    body = tmp_path / "job.json"
    body.write_text(json.dumps({"jobType": "example-count", "payload": {"text": "tea and Tea", "word": "tea"}}))
    with manage("work", log=tmp_path / "log", **settings):
        counted = run("run_workflow", str(body), "--user", "alice", **settings)
        read = run("ingest", str(subtitles), "--user", "alice", **settings)
    assert counted.returncode == 0, counted.stderr
    assert WorkflowExecution.objects.get(job_type="example-count").steps.get().output == {"word": "tea", "count": 2}
    assert read.returncode == 0, read.stdout + read.stderr
    from documents.models import DocumentPage

    assert DocumentPage.objects.get().text.split() == ["The", "kettle", "is", "singing.", "Still."]


def test_without_it_neither_is_known(alice: User, tmp_path: Path) -> None:
    body = tmp_path / "job.json"
    body.write_text(json.dumps({"jobType": "example-count", "payload": {"text": "tea", "word": "tea"}}))
    refused = run("run_workflow", str(body), "--user", "alice", EXTRA_APPS="")
    assert refused.returncode == 2
    assert "jobType" in refused.stderr
    assert not WorkflowExecution.objects.exists()
