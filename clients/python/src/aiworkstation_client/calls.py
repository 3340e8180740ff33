"""The calls of the API, each written once as an operation (see `exchange`). `Client` and `AsyncClient` offer them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, Literal, Required, TypedDict, TypeVar, Unpack
from uuid import uuid4

from aiworkstation_client.addresses import address, listed, query
from aiworkstation_client.decoding import camel, read, read_page
from aiworkstation_client.downloads import download
from aiworkstation_client.errors import BadAnswer, JobFailed, NotFound, UploadsFailed, WaitTimedOut
from aiworkstation_client.exchange import Answer, Operation, Pause, Request, Tell
from aiworkstation_client.models import (
    Chunk,
    Document,
    DryBulk,
    DryRerun,
    Event,
    Job,
    ModeItem,
    Priority,
    Question,
    SearchAnswer,
    StartedJob,
    Step,
    TextPage,
    Texts,
    ToolItem,
    Workflow,
)
from aiworkstation_client.uploads import (
    DOCUMENTS,
    AnyPath,
    FailedUpload,
    Labels,
    OnProgress,
    find_files,
    upload_all,
)

T = TypeVar("T")

JOBS = "/api/jobs"
WORKFLOWS = "/api/workflows"
PAGE = 200
"""Rows of a page."""
MAX_DOCUMENTS = 10_000
"""Documents of one job."""
FIRST_POLL = 0.25
LONGEST_POLL = 5.0
"""Seconds between two looks at a job that does not change."""
WAIT_RETRIES = 20
"""A wait survives a server that is away for about five minutes."""

AnyJob = str | Job | StartedJob
AnyStep = str | Step | Question
AnyDocument = str | Document
BulkAction = Literal["cancel", "retry", "rerun", "delete", "priority"]


class StartOptions(TypedDict, total=False):
    """The options of a new job. Without `idempotency_key`, each call gets one of its own."""

    priority: Priority
    delay_seconds: float
    max_parallel: int
    idempotency_key: str


class JobOptions(StartOptions, total=False):
    """The options of a new job, and its labels."""

    mode: str
    project_id: str
    tags: Sequence[str]


class RunOptions(StartOptions, total=False):
    """The options of a run of a saved workflow. `version` is the latest by default, `owner` yourself."""

    project_id: str
    tags: Sequence[str]
    version: int
    owner: str


class NewStep(TypedDict, total=False):
    """A step of a new workflow, with the keys of the API."""

    name: Required[str]
    description: str
    tool: str
    arguments: dict[str, Any]
    dependsOn: list[str]
    maxAttempts: int
    timeoutSeconds: float


class JobFilter(TypedDict, total=False):
    """Which jobs. Without `status`, only unfinished ones; `status="all"` for jobs of any state."""

    status: str | Sequence[str]
    type: str
    mode: str
    project_id: str
    tag: str
    q: str
    owner: str
    input: str


class DocumentFilter(TypedDict, total=False):
    """Which documents. `type` is the file type, `q` a text in the name."""

    status: str | Sequence[str]
    type: str
    mode: str
    project_id: str
    tag: str
    q: str
    owner: str


@dataclass(frozen=True)
class Ingestion:
    """What `ingest` did: the job that indexes the documents, and the files that are not stored."""

    job: StartedJob
    documents: list[Document]
    failures: list[FailedUpload]


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list of the API, which is read page by page. `key` is that of the rows in the JSON."""

    model: type[T]
    key: str
    path: str
    query: Sequence[tuple[str, str]] = ()

    def page(self, cursor: str | None) -> Operation[tuple[list[T], str | None]]:
        """Returns the rows of a page, and the cursor of the next one."""
        answer: Answer = yield Request("GET", self.path, query=[*self.query, *query(limit=PAGE, cursor=cursor)])
        rows, next_cursor = read_page(self.model, self.key, answer.json())
        if next_cursor is not None and next_cursor == cursor:
            raise BadAnswer("The list does not end: the server sent the same cursor twice.")
        return rows, next_cursor


# Starting jobs


def start(job_type: str, payload: Mapping[str, Any], **options: Unpack[StartOptions]) -> Operation[StartedJob]:
    """Starts a job of any type. The payload has the keys of the API."""
    body = {"jobType": job_type, "payload": dict(payload)}
    return (yield from _start(JOBS, body, options))


def start_workflow(
    name: str,
    steps: Iterable[NewStep],
    *,
    description: str | None = None,
    model_id: str | None = None,
    **options: Unpack[JobOptions],
) -> Operation[StartedJob]:
    """Starts a workflow."""
    payload = {"workflowName": name, "workflowDescription": description, "steps": list(steps), "modelId": model_id}
    return (yield from _start_labelled("workflow", payload, options))


def start_bulk_documents(
    documents: Iterable[AnyDocument],
    *,
    chunk_size: int | None = None,
    overlap: int | None = None,
    **options: Unpack[JobOptions],
) -> Operation[StartedJob]:
    """Starts a job that indexes uploaded documents, at most 10,000. They get its project, its tags and its mode."""
    named = [{"id": _document_id(each)} for each in listed("documents", documents)]
    payload = {"documents": named, "chunkSize": chunk_size, "overlap": overlap}
    return (yield from _start_labelled("bulk-documents", payload, options))


def start_reprocess(
    documents: Iterable[AnyDocument],
    *,
    chunk_size: int | None = None,
    overlap: int | None = None,
    **options: Unpack[JobOptions],
) -> Operation[StartedJob]:
    """Starts a job that reads documents again, with chunks of another size."""
    ids = [_document_id(each) for each in listed("documents", documents)]
    payload = {"documentIds": ids, "newChunkSize": chunk_size, "newOverlap": overlap}
    return (yield from _start_labelled("document-reprocess", payload, options))


def ingest(
    *paths: AnyPath,
    chunk_size: int | None = None,
    overlap: int | None = None,
    parallel: int = 4,
    on_progress: OnProgress | None = None,
    **options: Unpack[JobOptions],
) -> Operation[Ingestion]:
    """Uploads files and folders, and starts a job that indexes them, at most 10,000.

    Files that cannot be stored are in `failures`. If none can be stored, UploadsFailed is raised. Files that are stored
    already are not sent again, but indexed again.
    """
    files = find_files(paths)
    if len(files) > MAX_DOCUMENTS:
        raise ValueError(f"{len(files):,} files are too many for one job. The limit is {MAX_DOCUMENTS:,}.")
    labels = Labels(project_id=options.get("project_id"))
    report = yield from upload_all(files, labels, parallel=parallel, on_progress=on_progress)
    if not report.documents:
        raise UploadsFailed(report.failures)
    job = yield from start_bulk_documents(report.documents, chunk_size=chunk_size, overlap=overlap, **options)
    return Ingestion(job, report.documents, report.failures)


def run_workflow(name: str, **options: Unpack[RunOptions]) -> Operation[StartedJob]:
    """Starts a job with a saved workflow."""
    given = dict(options)
    path = address(WORKFLOWS, name) + "/runs"
    return (yield from _start(path, {}, given, query=query(owner=given.pop("owner", None))))


def _start_labelled(job_type: str, payload: dict[str, Any], options: JobOptions) -> Operation[StartedJob]:
    """The labels go into the payload: there, they are also those of the documents."""
    given = dict(options)
    payload |= {name: given.pop(option, None) for option, name in LABELS.items()}
    body = {"jobType": job_type, "payload": _without_none(payload)}
    return (yield from _start(JOBS, body, given))


LABELS = {"mode": "mode", "project_id": "projectId", "tags": "tags"}


def _start(
    path: str, body: dict[str, Any], options: Mapping[str, Any], *, query: Sequence[tuple[str, str]] = ()
) -> Operation[StartedJob]:
    """The key is the same for every attempt, so that one job starts however often the request arrives."""
    given = dict(options)
    key = given.pop("idempotency_key", str(uuid4()))
    answer: Answer = yield Request(
        "POST",
        path,
        query=query,
        json=body | {camel(name): _json(value) for name, value in given.items() if value is not None},
        headers=_idempotency_header(key),
        is_repeatable=True,
    )
    return read(StartedJob, answer.json())


def _idempotency_header(key: str) -> dict[str, str]:
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", key):
        raise ValueError("An idempotency key must consist of visible ASCII characters.")
    return {"Idempotency-Key": key}


# Jobs


def get_job(job: AnyJob) -> Operation[Job]:
    """Returns a job with its first 100 steps."""
    answer: Answer = yield Request("GET", address(JOBS, _job_id(job)))
    return read(Job, answer.json())


def wait(
    job: AnyJob,
    *,
    on_change: Callable[[Job], Any] | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Operation[Job]:
    """Waits until a job is finished, and returns it.

    `on_change` gets the job at first and after each change. After `timeout` seconds, WaitTimedOut is raised; the job
    continues. If the job ends `failed` or `cancelled`, JobFailed is raised, unless `check` is false. A job of documents
    can end `completed_with_errors`: `job.progress.failed` counts the documents that could not be indexed.
    """
    path = address(JOBS, _job_id(job))
    started = time.monotonic()
    pause, tag = FIRST_POLL, ""
    known: Job | None = None
    while True:
        answer: Answer = yield Request("GET", path, headers=_if_none_match(tag), retries=WAIT_RETRIES)
        pause = min(pause * 1.5, LONGEST_POLL)
        if answer.status != HTTPStatus.NOT_MODIFIED or known is None:
            known, tag, pause = read(Job, answer.json()), answer.headers.get("etag", ""), FIRST_POLL
            if on_change:
                yield Tell(on_change, known)
        if known.is_finished:
            return _checked(known) if check else known
        if timeout is not None and time.monotonic() + pause > started + timeout:
            raise WaitTimedOut(known, timeout)
        yield Pause(pause)


def _if_none_match(tag: str) -> dict[str, str]:
    return {"If-None-Match": tag} if re.fullmatch(r"[!-~]+", tag) else {}


def _checked(job: Job) -> Job:
    if job.status in ("failed", "cancelled"):
        raise JobFailed(job)
    return job


def jobs(**filters: Unpack[JobFilter]) -> Listing[Job]:
    """Iterates over jobs, newest first, without their steps and outputs. By default, over unfinished jobs."""
    return Listing(Job, "jobs", JOBS, _filter(filters))


def steps(job: AnyJob, *, status: str | Sequence[str] | None = None) -> Listing[Step]:
    """Iterates over the steps of a job."""
    return Listing(Step, "steps", address(JOBS, _job_id(job)) + "/steps", query(status=status))


def get_step(job: AnyJob, step: AnyStep) -> Operation[Step]:
    """Returns a step with its attempts."""
    answer: Answer = yield Request("GET", _step_address(job, step))
    return read(Step, answer.json())


def events(job: AnyJob) -> Listing[Event]:
    """Iterates over the audit trail of a job, oldest first."""
    return Listing(Event, "events", address(JOBS, _job_id(job)) + "/events")


def output(job: AnyJob, step: AnyStep | None = None) -> Operation[Any]:
    """Returns the output of a job, or of one of its steps, whatever its size."""
    answer: Answer = yield Request("GET", _output_address(job, step))
    return answer.json()


def download_output(job: AnyJob, path: AnyPath, step: AnyStep | None = None) -> Operation[Path]:
    """Stores the output of a job, or of one of its steps, in a file, as JSON."""
    return (yield from download(_output_address(job, step), Path(path)))


def cancel(job: AnyJob) -> Operation[Job]:
    """Cancels an unfinished job. Raises Conflict if it is finished."""
    return (yield from _steer(job, "cancel"))


def retry(job: AnyJob) -> Operation[Job]:
    """Runs the steps again that failed, were skipped or were cancelled."""
    return (yield from _steer(job, "retry"))


def retry_step(job: AnyJob, step: AnyStep) -> Operation[Job]:
    """Runs one step of a finished job again, and what depends on it."""
    answer: Answer = yield Request("POST", _step_address(job, step) + "/retry")
    return read(Job, answer.json())


def rerun(
    job: AnyJob, *, from_step: str | int | None = None, payload: Mapping[str, Any] | None = None
) -> Operation[Job]:
    """Runs a finished job again as a new job, from one of its steps if `from_step` is its id, name or index."""
    answer: Answer = yield _rerun_request(job, from_step, payload)
    return read(Job, answer.json())


def preview_rerun(
    job: AnyJob, *, from_step: str | int | None = None, payload: Mapping[str, Any] | None = None
) -> Operation[DryRerun]:
    """Returns what a rerun would take over. Starts nothing."""
    answer: Answer = yield _rerun_request(job, from_step, payload, dryRun=True)
    return read(DryRerun, answer.json())


def approve(job: AnyJob, step: AnyStep, *, arguments: Any = None, comment: str | None = None) -> Operation[Question]:
    """Approves what a waiting step asks. `arguments` replace those that it shows."""
    return (yield from _answer_question(job, step, "approve", {"arguments": arguments, "comment": comment}))


def reject(job: AnyJob, step: AnyStep, *, comment: str | None = None) -> Operation[Question]:
    """Rejects what a waiting step asks. The step fails."""
    return (yield from _answer_question(job, step, "reject", {"comment": comment}))


def delete_job(job: AnyJob) -> Operation[None]:
    """Deletes a finished job."""
    yield from _delete(address(JOBS, _job_id(job)))


def bulk(
    action: BulkAction,
    *,
    jobs: Iterable[AnyJob] | None = None,
    filter: JobFilter | None = None,
    priority: Priority | None = None,
) -> Operation[StartedJob]:
    """Starts a job that cancels, retries, reruns, deletes or prioritizes many jobs: named ones, or all that match."""
    answer: Answer = yield _bulk_request(action, jobs, filter, priority=priority)
    return read(StartedJob, answer.json())


def preview_bulk(
    action: BulkAction, *, jobs: Iterable[AnyJob] | None = None, filter: JobFilter | None = None
) -> Operation[DryBulk]:
    """Returns how many jobs a bulk action would be about. Changes nothing."""
    answer: Answer = yield _bulk_request(action, jobs, filter, dryRun=True)
    return read(DryBulk, answer.json())


def _steer(job: AnyJob, verb: str) -> Operation[Job]:
    answer: Answer = yield Request("POST", address(JOBS, _job_id(job)) + f"/{verb}")
    return read(Job, answer.json())


def _answer_question(job: AnyJob, step: AnyStep, verb: str, body: dict[str, Any]) -> Operation[Question]:
    answer: Answer = yield Request("POST", f"{_step_address(job, step)}/{verb}", json=_without_none(body))
    return read(Question, answer.json())


def _rerun_request(
    job: AnyJob, from_step: str | int | None, payload: Mapping[str, Any] | None, **parameters: object
) -> Request:
    body = _without_none({"fromStep": from_step, "payload": dict(payload) if payload is not None else None})
    return Request("POST", address(JOBS, _job_id(job)) + "/rerun", query=query(**parameters), json=body)


def _bulk_request(action: str, jobs: Iterable[AnyJob] | None, filter: JobFilter | None, **options: object) -> Request:
    if (jobs is None) == (filter is None):
        raise ValueError("Name the jobs, or give a filter: one of the two.")
    ids = None if jobs is None else [_job_id(job) for job in listed("jobs", jobs)]
    where = None if filter is None else {camel(name): _json(value) for name, value in filter.items()}
    body = {"action": action, "jobIds": ids, "filter": where, **options}
    return Request("POST", f"{JOBS}/bulk", json=_without_none(body))


# Documents


def documents(**filters: Unpack[DocumentFilter]) -> Listing[Document]:
    """Iterates over documents, newest first."""
    return Listing(Document, "documents", DOCUMENTS, _filter(filters))


def get_document(document: AnyDocument) -> Operation[Document]:
    """Returns a document."""
    answer: Answer = yield Request("GET", _document_address(document))
    return read(Document, answer.json())


def delete_document(document: AnyDocument) -> Operation[None]:
    """Deletes a document. Raises Conflict while a job works on it."""
    yield from _delete(_document_address(document))


def text(document: AnyDocument) -> Operation[list[TextPage]]:
    """Returns the text of a document, page by page."""
    answer: Answer = yield Request("GET", _document_address(document) + "/text")
    return read(Texts, answer.json()).pages


def chunks(document: AnyDocument) -> Listing[Chunk]:
    """Iterates over the chunks of a document."""
    return Listing(Chunk, "chunks", _document_address(document) + "/chunks")


def download_file(document: AnyDocument, path: AnyPath) -> Operation[Path]:
    """Stores the bytes of a document in a file. Raises BadAnswer if they are not those that were uploaded."""
    found = yield from get_document(document)
    return (yield from download(_document_address(document) + "/file", Path(path), sha256=found.sha256))


def search(
    q: str,
    *,
    limit: int | None = None,
    project_id: str | None = None,
    tag: str | None = None,
    type: str | None = None,
    document: AnyDocument | None = None,
) -> Operation[SearchAnswer]:
    """Returns the passages of indexed documents that fit a query best, 10 by default."""
    document_id = None if document is None else _document_id(document)
    parameters = query(q=q, limit=limit, projectId=project_id, tag=tag, type=type, documentId=document_id)
    answer: Answer = yield Request("GET", "/api/search", query=parameters)
    return read(SearchAnswer, answer.json())


# Saved workflows, tools, modes, and anything else


def workflows(*, q: str | None = None, owner: str | None = None) -> Listing[Workflow]:
    """Iterates over saved workflows."""
    return Listing(Workflow, "workflows", WORKFLOWS, query(q=q, owner=owner))


def get_workflow(name: str, *, owner: str | None = None) -> Operation[Workflow]:
    """Returns a saved workflow."""
    answer: Answer = yield Request("GET", address(WORKFLOWS, name), query=query(owner=owner))
    return read(Workflow, answer.json())


def save_workflow(name: str, payload: Mapping[str, Any], *, is_shared: bool | None = None) -> Operation[Workflow]:
    """Saves a workflow under a new name. Raises Conflict if the name is taken."""
    body = _without_none({"name": name, "payload": dict(payload), "isShared": is_shared})
    answer: Answer = yield Request("POST", WORKFLOWS, json=body)
    return read(Workflow, answer.json())


def tools() -> Listing[ToolItem]:
    """Iterates over the tools that a step can name."""
    return Listing(ToolItem, "tools", "/api/tools")


def modes() -> Listing[ModeItem]:
    """Iterates over the modes."""
    return Listing(ModeItem, "modes", "/api/modes")


def request(
    method: str,
    path: str,
    *,
    query: Sequence[tuple[str, str]] = (),
    json: Any = None,
    idempotency_key: str | None = None,
) -> Operation[Any]:
    """Calls any address of the API, such as `/api/schedules`, and returns the JSON of the answer, or None."""
    if not path.startswith("/api/"):
        raise ValueError("The path must begin with /api/.")
    headers = {} if idempotency_key is None else _idempotency_header(idempotency_key)
    answer: Answer = yield Request(
        method.upper(), path, query=query, json=json, headers=headers, is_repeatable=bool(headers)
    )
    return answer.json() if answer.body else None


def _delete(path: str) -> Operation[None]:
    """After an attempt that was cut, a 404 means that it had deleted the object."""
    try:
        yield Request("DELETE", path)
    except NotFound as error:
        if error.attempt == 1:
            raise


def _job_id(job: AnyJob) -> str:
    return job if isinstance(job, str) else job.job_id


def _document_id(document: AnyDocument) -> str:
    """The uid: it works for everybody who may see the document."""
    return document if isinstance(document, str) else document.uid


def _document_address(document: AnyDocument) -> str:
    return address(DOCUMENTS, _document_id(document))


def _step_address(job: AnyJob, step: AnyStep) -> str:
    step_id = step if isinstance(step, str) else step.step_id
    return f"{address(JOBS, _job_id(job))}/{address('steps', step_id)}"


def _output_address(job: AnyJob, step: AnyStep | None) -> str:
    return (address(JOBS, _job_id(job)) if step is None else _step_address(job, step)) + "/output"


def _filter(filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    return query(**{camel(name): value for name, value in filters.items()})


def _json(value: Any) -> Any:
    """Any sequence becomes a list."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _json(value) for name, value in body.items() if value is not None}
