"""The command `aiw`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.markup import escape

from aiworkstation_client.calls import MAX_DOCUMENTS
from aiworkstation_client.decoding import read
from aiworkstation_client.display import Display, JsonDisplay, TerminalDisplay, errors, printable
from aiworkstation_client.errors import (
    AiwError,
    ApiError,
    BadAnswer,
    ConfigurationError,
    ConnectionFailed,
    Forbidden,
    NotAuthenticated,
    NotFound,
    ServerError,
    Throttled,
)
from aiworkstation_client.models import Job, StartedJob
from aiworkstation_client.sync_client import Client
from aiworkstation_client.uploads import FailedUpload, UploadProgress, UploadReport, find_files
from aiworkstation_client.version import __version__

DONE = 0
FAILED = 1
BAD_INPUT = 2
NO_CONNECTION = 3
INTERRUPTED = 130
NO_READER = 141
EXIT_CODES = """\
exit codes:
  0    done; the job is completed
  1    the job failed or was cancelled, or a file could not be stored or indexed
  2    bad input: an option, a file, or what the server refuses
  3    no connection to the server, or it does not accept the token
  130  Ctrl-C; a started job continues
  141  the reader of the output ended early

environment:
  AIW_TOKEN  an API token (page "API tokens", or manage.py apitoken USERNAME)
  AIW_URL    the address of the server (default: http://127.0.0.1:8000)
"""


class Usage(AiwError):
    """The command line, or a file that it names, is wrong."""


@dataclass
class Session:
    client: Client
    display: Display
    options: argparse.Namespace
    hint: str = ""
    """What to do after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    _show_retries()
    is_for_scripts = options.json or not sys.stdout.isatty()
    session: Session | None = None
    try:
        with Client(options.url, allow_http=options.allow_http) as client:
            session = Session(client, JsonDisplay() if is_for_scripts else TerminalDisplay(), options)
            code: int = options.run(session)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        _complain(f"Interrupted. {session.hint if session else ''}".strip())
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain when it flushes standard output at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (AiwError, OSError, ValueError) as error:
        is_no_job = isinstance(error, NotFound) and "job" in options
        _complain(f"There is no job {options.job}, or it is not yours." if is_no_job else str(error))
        return exit_code(error)


def exit_code(error: Exception) -> int:
    if isinstance(error, (ConfigurationError, ConnectionFailed, BadAnswer)):
        return NO_CONNECTION
    if isinstance(error, (NotAuthenticated, Forbidden, ServerError, Throttled)):
        return NO_CONNECTION
    if isinstance(error, (Usage, ApiError, OSError, ValueError)):
        return BAD_INPUT
    return FAILED


def run(session: Session) -> int:
    """Starts the job in a file, and waits for it."""
    body = _job_in(session.options.file)
    session.hint = "The job may have started: see `aiw jobs`."
    key = str(body.setdefault("idempotencyKey", str(uuid4())))
    started = read(StartedJob, session.client.request("POST", "/api/jobs", json=body, idempotency_key=key))
    session.display.started(started, session.client.url)
    return DONE if session.options.detach else _follow(session, started.job_id)


def ingest(session: Session) -> int:
    """Uploads files and folders, and indexes them in one job."""
    options = session.options
    files = find_files(options.paths)
    if len(files) > MAX_DOCUMENTS:
        raise Usage(f"{len(files):,} files are too many for one job. The limit is {MAX_DOCUMENTS:,}.")
    session.hint = "Run the same command again to continue: stored files are not sent again."
    paths: dict[str, Path] = {}

    def on_progress(progress: UploadProgress) -> None:
        if progress.document:
            paths[progress.document.uid] = progress.path
        session.display.upload(progress)

    with session.display.uploading(len(files)):
        report = session.client.upload_files(
            *options.paths, project_id=options.project, parallel=options.parallel, on_progress=on_progress
        )
    return _index(session, report, paths)


def _index(session: Session, report: UploadReport, paths: dict[str, Path]) -> int:
    options = session.options
    wanted = [each for each in report.documents if not (options.skip_same and each.status == "indexed")]
    code = FAILED if report.failures else DONE
    if not wanted:
        return code
    labels = {"project_id": options.project, "tags": options.tag, "mode": options.mode}
    started = session.client.start_bulk_documents(wanted, **{name: value for name, value in labels.items() if value})
    session.display.started(started, session.client.url)
    return max(code, _follow(session, started.job_id, paths))


def watch(session: Session) -> int:
    """Waits for a job."""
    return _follow(session, session.options.job)


def _follow(session: Session, job_id: str, paths: dict[str, Path] | None = None) -> int:
    """`paths` are those of the documents that the job indexes."""
    session.hint = f"The job continues. Watch it again: aiw watch {printable(job_id)}"
    with session.display.following():
        job = session.client.wait(job_id, on_change=session.display.changed, check=False)
    failed = [] if job.status == "completed" else list(session.client.steps(job, status="failed"))
    for step in failed if paths is not None else []:
        document = str(step.arguments.get("documentId")) if isinstance(step.arguments, dict) else ""
        code, message = (step.error.code, step.error.message) if step.error else ("failed", "")
        session.display.failed_document(FailedUpload((paths or {}).get(document, Path(step.name)), code, message))
    output = session.client.output(job) if _is_large(job) else job.output
    session.display.finished(job, output, [] if paths is not None else failed)
    return DONE if job.status == "completed" else FAILED


def _is_large(job: Job) -> bool:
    return isinstance(job.output, dict) and job.output.get("tooLarge") is True


def jobs(session: Session) -> int:
    """Lists jobs, newest first."""
    options = session.options
    filters = {"status": options.status, "type": options.type, "tag": options.tag, "project_id": options.project}
    found = session.client.jobs(**{name: value for name, value in filters.items() if value})
    session.display.jobs(islice(found, options.limit))
    return DONE


def search(session: Session) -> int:
    """Searches the documents."""
    options = session.options
    answer = session.client.search(
        " ".join(options.query), limit=options.limit, project_id=options.project, tag=options.tag
    )
    session.display.results(answer.results, is_relaxed=answer.relaxed)
    return DONE


def cancel(session: Session) -> int:
    """Cancels a job."""
    session.display.job(session.client.cancel(session.options.job))
    return DONE


def retry(session: Session) -> int:
    """Runs what failed in a job again, and waits for it."""
    session.client.retry(session.options.job)
    return _follow(session, session.options.job)


def _job_in(file: str) -> dict[str, Any]:
    """Returns the body of POST /api/jobs: that in the file, or one around the payload of a workflow."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Usage(f"{file} is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Usage(f"{file} must contain an object: a job, or the payload of a workflow.")
    return body if "jobType" in body or "steps" not in body else {"jobType": "workflow", "payload": body}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiw",
        description="Starts and watches jobs of AI Workstation, and searches its documents.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the address of the server (default: AIW_URL, or http://127.0.0.1:8000)")
    common.add_argument("--allow-http", action="store_true", help="send the token unencrypted to another machine")
    common.add_argument(
        "--json", action="store_true", help="print JSON lines (default if the output is not a terminal)"
    )
    parser.add_argument("--version", action="version", version=f"aiw {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(function: Any, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(function.__name__, help=help, description=function.__doc__, parents=[common])
        added.set_defaults(run=function)
        return added

    one = command(run, "start the job in a file, and wait for it")
    one.add_argument(
        "file",
        metavar="FILE.json",
        help="the body of POST /api/jobs, or the payload of a workflow; - is standard input",
    )
    one.add_argument("--detach", action="store_true", help="do not wait for the job")

    one = command(ingest, "upload files and folders, and index them")
    one.add_argument("paths", nargs="+", metavar="PATH")
    one.add_argument("--project", help="the project of the documents")
    one.add_argument("--tag", action="append", default=[], help="a tag for the documents; can be repeated")
    one.add_argument("--mode", help="the mode of the job and the documents")
    one.add_argument("--parallel", type=int, default=4, help="how many files are sent at the same time (default: 4)")
    one.add_argument("--skip-same", action="store_true", help="do not index files again that are stored and indexed")

    one = command(jobs, "list jobs")
    one.add_argument(
        "--status", action="append", default=[], help="a status, or all; can be repeated (default: unfinished)"
    )
    one.add_argument("--type", help="the job type")
    one.add_argument("--tag", help="a tag of the job")
    one.add_argument("--project", help="the project of the job")
    one.add_argument("--limit", type=int, default=50, help="at most so many (default: 50)")

    for function, help in (
        (watch, "wait for a job"),
        (cancel, "cancel a job"),
        (retry, "run again what failed in a job"),
    ):
        command(function, help).add_argument("job", metavar="JOB", help="the id of the job")

    one = command(search, "search the documents")
    one.add_argument("query", nargs="+", metavar="QUERY")
    one.add_argument("--project", help="only documents of this project")
    one.add_argument("--tag", help="only documents with this tag")
    one.add_argument("--limit", type=int, default=10, help="at most so many passages (default: 10)")
    return parser


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _complain(record.getMessage())


def _show_retries() -> None:
    logger = logging.getLogger("aiworkstation_client")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Shown()]


def _complain(text: str) -> None:
    errors.print(f"aiw: {escape(printable(text))}")
