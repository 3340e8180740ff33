"""What the API returns. The fields have the API's names in snake_case: `jobId` is `job_id`.

docs/api.md describes every field. `raw` is the JSON as it was sent, with the fields that this version does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

JobStatus = Literal["queued", "running", "waiting", "completed", "completed_with_errors", "failed", "cancelled"]
StepStatus = Literal["pending", "ready", "running", "waiting", "completed", "failed", "skipped", "cancelled"]
DocumentStatus = Literal["uploaded", "queued", "processing", "indexed", "failed"]
Priority = Literal["high", "normal", "low"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """An object of the API."""

    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Progress(Model):
    total: int
    completed: int
    failed: int
    percent: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Usage(Model):
    input_tokens: int
    output_tokens: int
    cost_usd: str | None


@dataclass(frozen=True, kw_only=True)
class Reused(Usage):
    steps: int


@dataclass(frozen=True, kw_only=True)
class Failure(Model):
    """Why a job, a step or a document failed."""

    code: str
    message: str
    retryable: bool = False


@dataclass(frozen=True, kw_only=True)
class Approval(Model):
    question: str
    arguments: Any
    may_answer: list[str]
    until: datetime | None
    answered_by: str | None
    answer: str | None
    comment: str | None


@dataclass(frozen=True, kw_only=True)
class Question(Model):
    """A step that a person answered, as far as that person may see it."""

    step_id: str
    name: str
    status: StepStatus
    approval: Approval


@dataclass(frozen=True, kw_only=True)
class Attempt(Model):
    attempt: int
    status: str
    error: Failure | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str
    usage: Usage | None


@dataclass(frozen=True, kw_only=True)
class Step(Model):
    step_id: str
    index: int
    name: str
    description: str
    tool: str | None
    depends_on: list[str]
    status: StepStatus
    attempt: int
    max_attempts: int
    progress: int
    message: str
    arguments: Any
    model: str | None
    usage: Usage | None
    output: Any
    error: Failure | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    next_attempt_at: datetime | None
    approval: Approval | None
    attempts: list[Attempt] = field(default_factory=list)
    """Only `get_step` fills it."""


@dataclass(frozen=True, kw_only=True)
class StartedJob(Model):
    """The answer to a request that starts a job."""

    job_id: str
    job_type: str
    status: JobStatus
    url: str
    panel_url: str


@dataclass(frozen=True, kw_only=True)
class Job(Model):
    """A job. In lists, `output` is None, and there are neither `steps` nor a `payload`."""

    job_id: str
    job_type: str
    name: str
    description: str
    owner: str
    status: JobStatus
    waiting_for: str | None
    mode: str
    model_id: str | None
    project_id: str | None
    tags: list[str]
    priority: Priority
    progress: Progress
    output: Any
    error: Failure | None
    usage: Usage
    rerun_of: str | None
    reused: Reused | None
    workflow: str | None
    workflow_version: int | None
    is_finished: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    payload: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    """The first 100 steps."""
    steps_next_cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event(Model):
    """An event of the audit trail."""

    id: str
    at: datetime
    actor: str
    action: str
    object: str
    changes: Any


@dataclass(frozen=True, kw_only=True)
class Document(Model):
    id: str
    uid: str
    filename: str
    file_type: str
    file_size: int
    sha256: str
    duplicate_of: str | None
    parent_id: str | None
    status: DocumentStatus
    error: Failure | None
    warnings: list[str]
    page_count: int | None
    word_count: int | None
    chunk_count: int
    chunk_size: int | None
    overlap: int | None
    project_id: str | None
    tags: list[str]
    mode: str
    created_at: datetime
    indexed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TextPage(Model):
    page: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Texts(Model):
    pages: list[TextPage]


@dataclass(frozen=True, kw_only=True)
class Chunk(Model):
    id: str
    index: int
    page: int
    start: int
    end: int
    tokens: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Found(Model):
    """A passage that fits the query."""

    document_id: str
    filename: str
    page: int | None
    chunk_id: str | None
    snippet: str
    score: float


@dataclass(frozen=True, kw_only=True)
class SearchAnswer(Model):
    """The best passages first. `relaxed` is true if none fits the whole query."""

    results: list[Found]
    relaxed: bool = False

    def __iter__(self) -> Iterator[Found]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, kw_only=True)
class Workflow(Model):
    """A saved workflow."""

    name: str
    owner: str
    version: int
    payload: dict[str, Any]
    is_shared: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class ToolItem(Model):
    tool: str
    description: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModeItem(Model):
    mode: str
    prompt: str
    default_model: str | None
    tools: list[str]


@dataclass(frozen=True, kw_only=True)
class DryBulk(Model):
    """How many jobs a bulk action would be about."""

    matches: int
    by_status: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DryRerun(Model):
    """What a rerun would take over."""

    reused: Reused


@dataclass(frozen=True, kw_only=True)
class Rejected(Model):
    """A file that was not stored."""

    filename: str
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Uploaded(Model):
    documents: list[Document]
    rejected: list[Rejected]
