"""manage.py ingest"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from documents.models import Document
from jobs import terminal_progress
from jobs.management.commands import ingest
from tests.support.jobs import claim, complete, fail
from workflows.models import WorkflowExecution


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.MEDIA_ROOT = tmp_path / "uploads"
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "b [x].txt", "sub/c.txt", ".hidden"):
        (folder / name).write_text(f"This is {name}.")
    return folder


@pytest.fixture
def demo(db: None) -> User:
    return User.objects.create_user("demo")


def run(*arguments: object, work: Callable[[WorkflowExecution], None] = lambda job: None) -> int:
    """Returns the exit code. `work` runs when the command looks at the job for the first time."""

    def follow(execution_id: Any, console: Any) -> Any:
        work(WorkflowExecution.objects.get(pk=execution_id))
        return terminal_progress.follow(execution_id, console)

    with patch.object(ingest, "follow", follow):
        try:
            call_command("ingest", *map(str, arguments))
        except CommandError as error:
            return error.returncode
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def complete_all(job: WorkflowExecution) -> None:
    while claims := claim(job.pk):
        complete(claims[0], {})


def fail_the_second(job: WorkflowExecution) -> None:
    first, second, third = (claim(job.pk)[0] for _ in range(3))
    complete(first)
    fail(second, "It is [broken].")
    complete(third)


def interrupt(job: WorkflowExecution) -> None:
    raise KeyboardInterrupt


def test_it_works(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--project", "p", "--tag", "x", "--tag", "y", work=complete_all) == 0
    assert "3 of 3 documents are indexed." in capsys.readouterr().out
    names = list(Document.objects.order_by("filename").values_list("filename", flat=True))
    assert names == ["a.txt", "b [x].txt", "c.txt"]
    document = Document.objects.all()[0]
    assert (document.owner, document.project_id, document.tags) == (demo, "p", ["x", "y"])
    job = WorkflowExecution.objects.get()
    assert (job.job_type, job.project_id, job.status) == ("bulk-documents", "p", "completed")


def test_failures_are_printed(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty.txt").touch()
    assert run(folder, work=fail_the_second) == 1
    output = capsys.readouterr().out
    assert "2 of 4 documents are indexed." in output
    assert "It is [broken]." in output
    assert "b [x].txt" in output
    assert "empty" in output


def test_nothing_could_be_uploaded(demo: User, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert run(tmp_path / "empty.txt") == 1
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--user", "nobody"], ["--tag", ""], ["--tag", "x" * 101], ["--project", "x" * 201]]
)
def test_bad_input(demo: User, folder: Path, arguments: list[str]) -> None:
    assert run(folder, *arguments) == 2
    assert not Document.objects.exists()


def test_no_such_path_and_no_files(demo: User, tmp_path: Path) -> None:
    assert run(tmp_path / "missing") == 2
    (tmp_path / "nothing").mkdir()
    assert run(tmp_path / "nothing") == 2


def test_interrupted(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, work=interrupt) == 130
    job = WorkflowExecution.objects.get()
    assert not job.is_finished
    assert f"/jobs/{job.pk}" in capsys.readouterr().out.replace("\n", "")
