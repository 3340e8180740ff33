"""`manage.py run_workflow FILE.json`"""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.support.jobs import BODY, claim, complete, complete_all, fail
from workflows.models import WorkflowExecution

WriteFile = Callable[[Any], Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(content: Any) -> Path:
        path = tmp_path / "job.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[WorkflowExecution], None]], None]:
    """Arranges what happens to the job while the command waits."""

    def arrange(act: Callable[[WorkflowExecution], None]) -> None:
        monkeypatch.setattr("jobs.terminal_progress.time.sleep", lambda _: act(WorkflowExecution.objects.get()))

    return arrange


def run(path: Path, user: str = "alice") -> str:
    out = StringIO()
    call_command("run_workflow", str(path), "--user", user, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("content", [BODY, BODY["payload"]])
def test_it_works(alice: User, write_file: WriteFile, meanwhile: Any, content: Any) -> None:
    meanwhile(lambda execution: complete_all(execution, {"text": "the report"}))
    said = run(write_file(content))
    execution = WorkflowExecution.objects.get()
    assert (execution.owner, execution.name) == (alice, "Two steps")
    assert said.splitlines() == [
        f"Two steps: /jobs/{execution.pk}",
        "the report",
        "completed: 2 of 2 steps completed",
    ]


def test_a_failed_job(alice: User, write_file: WriteFile, meanwhile: Any) -> None:
    def act(execution: WorkflowExecution) -> None:
        complete(claim(execution.pk)[0])
        fail(claim(execution.pk)[0], "no such thing")

    meanwhile(act)
    with pytest.raises(CommandError, match="failed: 1 of 2 steps completed, 1 failed") as raised:
        run(write_file(BODY))
    assert raised.value.returncode == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "JSON parse error"),
        ({"jobType": "workflow", "payload": {"steps": [{}]}}, "payload.steps.0.name: This field is required."),
        ([], "Must be a JSON object"),
    ],
)
def test_bad_input(alice: User, write_file: WriteFile, content: Any, words: str) -> None:
    with pytest.raises(CommandError, match=words) as raised:
        run(write_file(content))
    assert raised.value.returncode == 2
    assert not WorkflowExecution.objects.exists()


def test_no_file_and_no_user(alice: User, tmp_path: Path, write_file: WriteFile) -> None:
    for path, user in ((tmp_path / "nothing.json", "alice"), (write_file(BODY), "nobody")):
        with pytest.raises(CommandError) as raised:
            run(path, user)
        assert raised.value.returncode == 2


def test_an_interrupt_leaves_the_job_running(
    alice: User, write_file: WriteFile, meanwhile: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(execution: WorkflowExecution) -> None:
        raise KeyboardInterrupt

    meanwhile(interrupt)
    with pytest.raises(SystemExit) as raised:
        run(write_file(BODY))
    assert raised.value.code == 130
    assert "The job is still running" in capsys.readouterr().err
    assert WorkflowExecution.objects.get().status == "queued"
