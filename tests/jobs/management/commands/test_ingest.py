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
from workflows import engine
from workflows.engine.claims import ClaimedStep
from workflows.models import WorkflowExecution
from workflows.steps import NewStep


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


@pytest.fixture
def index_all() -> Callable[[WorkflowExecution], None]:
    def work(job: WorkflowExecution) -> None:
        complete_all(job)
        Document.objects.filter(step__execution=job).update(status="indexed")

    return work


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


def test_documents_inside_others_count_as_on_the_jobs_page(
    demo: User, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def two_inside(job: WorkflowExecution) -> None:
        first = claim(job.pk)[0]
        steps = {f"inside {number}": NewStep(f"{number}.txt", tool="DOCUMENT_INGEST") for number in range(2)}
        engine.add_steps(job.pk, steps, within=ClaimedStep(first.step_id, first.token), actor="demo")
        complete(first, {})
        fail(claim(job.pk)[0])
        complete_all(job)

    assert run(folder, work=two_inside) == 1
    assert "4 of 5 documents are indexed. 2 of them were inside others." in capsys.readouterr().out
    assert WorkflowExecution.objects.get().steps_total == 5


def test_failures_are_printed(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty.txt").touch()
    assert run(folder, work=fail_the_second) == 1
    output = capsys.readouterr().out
    assert "2 of 4 documents are indexed." in output
    assert "It is [broken]." in output
    assert "b [x].txt" in output
    assert "empty" in output


def test_each_failure_is_a_line_with_the_path_as_given(
    demo: User, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of 80 columns cut the names, and showed the same name for files of two folders."""
    long, odd = folder / f"{'a long name ' * 12}.txt", folder / "two\nlines :smile:.txt"
    long.touch()
    odd.write_text("x")
    assert run(folder, work=fail_the_second) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(f"{long}: empty: ")]
    assert [line for line in lines if line.startswith(f"{folder}/two\\nlines :smile:.txt: unsafe_name: ")]
    assert [line for line in lines if line.startswith(f"{folder}/b [x].txt: ")]
    assert not [line for line in lines if line.startswith("b [x]")]


def test_progress_is_not_on_standard_output(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, work=complete_all) == 0
    assert capsys.readouterr().out == "3 of 3 documents are indexed.\n"


class TestSkipSame:
    def test_indexed_files_are_skipped(
        self, demo: User, folder: Path, capsys: pytest.CaptureFixture[str], index_all: Any
    ) -> None:
        assert run(folder, "--skip-same", work=index_all) == 0
        (folder / "a.txt").rename(folder / "moved.txt")
        (folder / "new.txt").write_text("New.")
        (folder / "copy.txt").write_text("New.")
        capsys.readouterr()
        assert run(folder, "--skip-same", work=index_all) == 0
        said = capsys.readouterr().out
        assert said.splitlines() == [
            "1 of 1 documents are indexed.",
            "4 files were skipped: the same content is stored already.",
        ]
        assert Document.objects.count() == 4

    def test_nothing_is_new(self, demo: User, folder: Path, capsys: pytest.CaptureFixture[str], index_all: Any) -> None:
        for _ in range(2):
            assert run(folder, "--skip-same", work=index_all) == 0
        assert WorkflowExecution.objects.count() == 1
        assert "0 of 0 documents are indexed.\n3 files were skipped" in capsys.readouterr().out

    def test_one_file(self, demo: User, folder: Path, capsys: pytest.CaptureFixture[str], index_all: Any) -> None:
        for _ in range(2):
            assert run(folder / "a.txt", "--skip-same", work=index_all) == 0
        assert "\n1 file was skipped:" in capsys.readouterr().out

    def test_files_of_another_user_or_project_or_without_the_option(
        self, demo: User, folder: Path, index_all: Any
    ) -> None:
        User.objects.create_user("other")
        assert run(folder, "--project", "p", work=index_all) == 0
        for options in (["--skip-same"], ["--skip-same", "--user", "other"], []):
            before = Document.objects.count()
            assert run(folder, "--project", "" if "--user" not in options else "p", *options, work=index_all) == 0
            assert Document.objects.count() == before + 3

    def test_a_file_that_was_not_indexed_is_indexed_without_another_copy(
        self, demo: User, folder: Path, index_all: Any
    ) -> None:
        assert run(folder, "--skip-same", work=fail_the_second) == 1
        Document.objects.update(status="failed")
        assert run(folder, "--skip-same", work=index_all) == 0
        assert Document.objects.count() == 3
        assert set(Document.objects.values_list("status", flat=True)) == {"indexed"}


def test_every_wrong_label_is_named(demo: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match=r"(?s)--project: .*--tag: "):
        call_command("ingest", str(folder), "--project", "x" * 201, "--tag", "")


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
