"""The command `aiw`: in this process, and in processes of its own where signals and terminals matter."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiworkstation_client.command import main
from aiworkstation_client.display import TerminalDisplay, printable
from django.contrib.auth.models import User

from aiworkstation import BASE_DIR
from documents.models import Document
from tests.clients.python.flaky_server import FINISHED, STARTED, Reply, Serve, error
from tests.support.jobs import claim as claim_steps
from tests.support.jobs import complete_all, fail, start_job
from tests.support.processes import manage
from tests.support.runner import work
from workflows.models import WorkflowExecution

SOURCE = BASE_DIR / "clients" / "python" / "src"
WORKFLOW = {
    "workflowName": "Review",
    "steps": [{"name": "Find", "tool": "DOCUMENT_SEARCH", "arguments": {"query": "x"}}],
}
BAD_STEP = {"name": "Read", "tool": "DOCUMENT_READ", "arguments": {"documentId": "missing"}}

with_database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at_site(site: int, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIW_URL", f"http://127.0.0.1:{site}")
    monkeypatch.setenv("AIW_TOKEN", token)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def worker(modes: None, tmp_path: Path) -> Iterator[None]:
    with manage("work", log=tmp_path / "work.log", WORKERS="1"):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Any], str]:
    def write(body: Any) -> str:
        path = tmp_path / "job.json"
        path.write_text(body if isinstance(body, str) else json.dumps(body))
        return str(path)

    return write


def aiw(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "aiworkstation_client", *arguments]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "COLUMNS": "100"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=environment, text=True, **pipes)


@with_database
@pytest.mark.slow
def test_ingest_run_and_search(at_site: None, worker: None, lines: Any, file: Any, folder: Path) -> None:
    """A worker has to start."""
    assert main(["ingest", str(folder), "--project", "p1", "--tag", "t"]) == 1, "one file is empty"
    found = lines()
    assert sorted(each["event"] for each in found[:3]) == ["failed", "uploaded", "uploaded"]
    assert found[3]["event"] == "started"
    assert found[-1]["event"] == "finished"
    assert (found[-1]["job"]["status"], found[-1]["job"]["progress"]["completed"]) == ("completed", 2)
    assert {tuple(each.tags) for each in Document.objects.all()} == {("t",)}

    assert main(["search", "notice", "period", "--project", "p1", "--tag", "t"]) == 0
    assert [each["filename"] for each in lines()] == ["contract.md"]

    assert main(["run", file({"jobType": "workflow", "payload": WORKFLOW})]) == 0
    found = lines()
    assert found[-1]["job"]["output"]["results"] == []
    assert "payload" not in found[-1]["job"]

    assert main(["ingest", str(folder / "pelican.txt"), "--project", "p1", "--skip-same"]) == 0
    (again,) = lines()
    assert (again["event"], again["wasStored"]) == ("uploaded", True)

    broken = folder / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 and nothing else")
    assert main(["ingest", str(broken)]) == 1
    (failed,) = [each for each in lines() if each["event"] == "failed"]
    assert (failed["path"], failed["code"]) == (str(broken), "corrupt")


@with_database
def test_a_job_that_fails(at_site: None, lines: Any, alice: User, file: Any) -> None:
    execution = start_job(alice)
    fail(claim_steps(execution.pk)[0], "the disk is full")
    assert main(["watch", str(execution.pk)]) == 1
    assert lines()[-1]["job"]["error"]["message"] == "the disk is full"


@with_database
def test_an_output_of_any_size(at_site: None, lines: Any, alice: User) -> None:
    execution = start_job(alice)
    complete_all(execution, {"text": "x" * 300_000})
    assert main(["watch", str(execution.pk)]) == 0
    assert lines()[-1]["job"]["output"] == {"text": "x" * 300_000}


@with_database
def test_listing_cancelling_and_retrying(at_site: None, lines: Any, alice: User) -> None:
    first, second = (str(start_job(alice, tags=["t"]).pk) for _ in range(2))
    assert main(["jobs"]) == 0
    assert [each["jobId"] for each in lines()] == [second, first]
    assert main(["jobs", "--status", "queued", "--tag", "t", "--limit", "1"]) == 0
    assert [each["jobId"] for each in lines()] == [second]
    assert main(["cancel", first]) == 0
    assert lines()[0]["status"] == "cancelled"
    assert main(["cancel", first]) == 2, "it is cancelled already"
    assert main(["jobs", "--status", "all"]) == 0
    assert [each["status"] for each in lines()] == ["queued", "cancelled"]


@with_database
def test_detaching(at_site: None, lines: Any, file: Any) -> None:
    assert main(["run", "--detach", file(WORKFLOW)]) == 0
    (started,) = lines()
    work(WorkflowExecution.objects.get(pk=started["job"]["jobId"]))


@with_database
@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "null",
        {"steps": []},
        {"jobType": "workflow"},
        {"jobType": "nothing", "payload": {}},
        WORKFLOW | {"a": 1},
    ],
    ids=str,
)
def test_bad_files(at_site: None, capsys: Any, file: Any, body: Any) -> None:
    assert main(["run", file(body)]) == 2
    assert capsys.readouterr().err.startswith("aiw: ")
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [["run", "missing.json"], ["ingest", "missing"], ["watch", ".."], ["ingest", "--parallel", "0", __file__]],
    ids=str,
)
def test_bad_arguments(monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: list[str]) -> None:
    monkeypatch.setenv("AIW_TOKEN", "t")
    assert main(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["jobs", "--limit", "x"], ["search"]], ids=str)
def test_usage(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(401, "not_authenticated"), 3),
        (error(403, "insufficient_scope"), 3),
        (error(404, "not_found"), 2),
        (error(409, "wrong_state"), 2),
        (error(429), 3),
        (error(500, "error"), 3),
        (error(503), 3),
        (Reply(200, b"<html>"), 3),
        (Reply(302, b""), 3),
        (Reply(raw=b""), 3),
        (Reply(200, FINISHED), 0),
        (Reply(200, FINISHED | {"status": "completed_with_errors"}), 1),
    ],
    ids=repr,
)
def test_exit_codes(
    serve: Serve, pauses: list[float], monkeypatch: pytest.MonkeyPatch, reply: Reply, code: int
) -> None:
    monkeypatch.setenv("AIW_TOKEN", "t")
    replies = [reply, Reply(200, {"steps": [], "nextCursor": None})] if code == 1 else [reply]
    assert main(["watch", "j1", "--url", serve(*replies).url]) == code


def test_a_job_that_is_not_there(serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("AIW_TOKEN", "t")
    for name in ("watch", "cancel", "retry"):
        assert main([name, "j1", "--url", serve(error(404, "not_found")).url]) == 2
        assert "There is no job j1, or it is not yours." in capsys.readouterr().err


def test_no_token(capsys: Any) -> None:
    assert main(["jobs"]) == 3
    assert "AIW_TOKEN" in capsys.readouterr().err


def test_retries_are_shown(serve: Serve, pauses: list[float], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("AIW_TOKEN", "t")
    assert main(["watch", "j1", "--url", serve(error(503), Reply(200, FINISHED)).url]) == 0
    assert "Trying again in" in capsys.readouterr().err


def test_a_job_is_started_once(serve: Serve, pauses: list[float], monkeypatch: pytest.MonkeyPatch, file: Any) -> None:
    monkeypatch.setenv("AIW_TOKEN", "t")
    server = serve(Reply(raw=b""), Reply(202, STARTED))
    assert main(["run", "--detach", "--url", server.url, file(WORKFLOW)]) == 0
    first, second = server.requests
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]
    assert first["body"] == second["body"]


@with_database
def test_ctrl_c_leaves_the_job_running(at_site: None, alice: User) -> None:
    execution = start_job(alice)
    with aiw("watch", str(execution.pk)) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "changed"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"Watch it again: aiw watch {execution.pk}" in told
    execution.refresh_from_db()
    assert execution.status == "queued"


@with_database
def test_ctrl_c_during_an_upload(at_site: None, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number}.txt").write_text(str(number))
    with aiw("ingest", str(folder)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stored files are not sent again" in told
    assert "Traceback" not in told
    assert 0 < Document.objects.count() < 400


@with_database
def test_a_reader_that_ends_early(at_site: None, alice: User) -> None:
    start_job(alice)
    reading, writing = os.pipe()
    os.close(reading)
    with aiw("jobs", stdout=writing) as process:
        os.close(writing)
        assert process.wait(30) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def seen_in_a_terminal(*arguments: str) -> tuple[int, str]:
    """Returns the exit code, and what a terminal gets."""
    mine, its = pty.openpty()
    with aiw(*arguments, stdout=its, stderr=its, stdin=its) as process:
        os.close(its)
        seen = b""
        while chunk := _read(mine):
            seen += chunk
    os.close(mine)
    return process.returncode, seen.decode(errors="replace")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the last process has closed it
        return b""


def without_controls(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@with_database
@pytest.mark.slow
def test_in_a_terminal(at_site: None, worker: None, folder: Path, file: Any) -> None:
    """A worker has to start, and five processes."""
    code, seen = seen_in_a_terminal("ingest", str(folder))
    text = without_controls(seen)
    assert code == 1
    assert "━" in text
    assert "empty.txt: empty: " in text
    assert "completed: 2 of 2 steps completed." in text
    code, seen = seen_in_a_terminal("search", "notice")
    assert (code, "contract.md, page 1" in seen) == (0, True)
    code, seen = seen_in_a_terminal("run", file({"workflowName": "Read", "steps": [BAD_STEP]}))
    assert (code, "Read: " in seen, "failed: 0 of 1 steps completed" in seen) == (1, True, True)
    code, seen = seen_in_a_terminal("jobs", "--status", "all")
    assert "completed" in seen
    assert seen_in_a_terminal("jobs", "--json", "--status", "failed")[1].startswith('{"jobId"')


@with_database
def test_names_do_not_control_the_terminal(at_site: None, alice: User) -> None:
    name = "\x1b]0;title\x07 [red]name[/red]"
    execution = start_job(alice, payload={"workflowName": name, "steps": [{"name": "\x1b[31mStep"}]})
    fail(claim_steps(execution.pk)[0], "\x1b[2J")
    for arguments in (["jobs", "--status", "all"], ["watch", str(execution.pk)]):
        _, seen = seen_in_a_terminal(*arguments)
        assert "\x1b]0" not in seen
        assert "\x1b[2J" not in seen
        assert "\x1b[31m" not in seen


def test_printable() -> None:
    assert printable("ä\n\t\x1b\udce9 日") == "ä\\n\\t\\x1b\\udce9 日"
    assert printable("a\nb", keep="\n") == "a\nb"
    assert TerminalDisplay()
