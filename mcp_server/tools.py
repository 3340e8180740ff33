"""The tools that agents can call. Each has the input of the API's serializers, and calls what the API calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.contrib.auth.models import User

from aiworkstation.access.models import Scope
from aiworkstation.web.openapi import input_schema
from aiworkstation.web.paging import PageQuery, page
from aiworkstation.web.serializers import Name, StrictSerializer
from documents.api.serializers import DocumentSerializer, DocumentsQuery, SearchQuery
from documents.lookup import get_document, list_documents
from documents.search import Question, search
from jobs import steer
from jobs.api.saved_workflows import WorkflowSerializer, WorkflowsQuery
from jobs.api.serializers import JobSerializer, JobsQuery, StepSerializer, StepsQuery
from jobs.api.views import started_json, step_json, tools_json
from jobs.display import describe_jobs, describe_steps
from jobs.job_type import JobType, find_job_type, job_type_names
from jobs.lookup import NEWEST_FIRST, find_step, get_execution, list_executions
from jobs.saved_workflows import RunRequest, WorkflowName, get_workflow, list_workflows, run_workflow
from jobs.start import JobRequest, start
from mcp_server.document_pages import ReadRequest, read_page
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

MAX_OUTPUT = 20_000
"""Bytes of a job's output in the answer about the job."""
MAX_ID = 200
LISTED = 20
"""Entries of a list by default: what an agent reads costs it model tokens."""
STEPS_SHOWN = 20

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` may quote documents, other servers and models. `job` is the job that the call has started."""

    data: Any
    hint: str = ""
    job: WorkflowExecution | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """Without the scope `read`, the tool changes something."""

    name: str
    title: str
    description: str
    scope: Scope
    Input: type[StrictSerializer]
    run: Callable[[User, Arguments], Answer]
    is_destructive: bool = False
    starts_job: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_read_only(self) -> bool:
        return self.scope == Scope.READ

    def schema(self) -> dict[str, Any]:
        schema = input_schema(self.Input())
        for name, value in self.defaults.items():
            schema["properties"][name]["default"] = value
        return schema


def find_tool(name: Any) -> Tool | None:
    return tools().get(name) if isinstance(name, str) else None


@cache
def tools() -> dict[str, Tool]:
    """All tools by their name, in the order in which agents see them."""
    starting = [_start_tool(name) for name in job_type_names()]
    return {tool.name: tool for tool in [*starting, *TOOLS]}


class JobId(StrictSerializer):
    jobId = Name(source="job_id", max_length=MAX_ID, help_text="The id of a job, as list_jobs returns it.")


class StepId(JobId):
    stepId = Name(source="step_id", max_length=MAX_ID, help_text="The id of a step, as list_job_steps returns it.")


class StepsRequest(StepsQuery, JobId):
    pass


class JobsRequest(JobsQuery):
    """Agents see the jobs of their user."""

    jobId = owner = None  # type: ignore[assignment]


class DocumentsRequest(DocumentsQuery):
    owner = None  # type: ignore[assignment]


class SavedRunRequest(RunRequest):
    name = WorkflowName(help_text="The name of a saved workflow, as list_saved_workflows returns it.")
    owner = Name(required=False, max_length=MAX_ID, help_text="The owner, if several users have one of this name.")


def _start_tool(type_name: str) -> Tool:
    job_type = find_job_type(type_name)
    assert job_type is not None
    return Tool(
        name=f"start_{type_name.replace('-', '_')}",
        title=f"Start a job: {type_name}",
        description=f"{job_type.description} It runs in the background: call get_job to watch it.",
        scope=Scope.RUN,
        Input=_start_request(job_type),
        run=lambda user, arguments: _start(user, type_name, arguments),
        starts_job=True,
    )


def _start_request(job_type: JobType) -> type[StrictSerializer]:
    """`jobs.start` checks the arguments: this is only for the schema."""
    return type("StartRequest", (JobRequest,), {"jobType": None, "payload": job_type.Payload()})


def _start(user: User, type_name: str, arguments: Arguments) -> Answer:
    execution, is_new = start(user, {**arguments, "jobType": type_name})
    return _started(execution, is_new)


def _run_saved(user: User, arguments: Arguments) -> Answer:
    named = _read(SavedRunRequest, arguments)
    workflow = get_workflow(user, named["name"], named.get("owner", ""))
    request = {name: value for name, value in arguments.items() if name not in ("name", "owner")}
    return _started(*run_workflow(user, workflow, request))


def _started(execution: WorkflowExecution, is_new: bool) -> Answer:
    hint = "The job was started." if is_new else "This idempotencyKey was used before: this is its job."
    return Answer(started_json(execution), hint, execution)


def _list_jobs(user: User, arguments: Arguments) -> Answer:
    query = _read(JobsRequest, arguments)
    found = page(list_executions(user, query), NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = JobSerializer(describe_jobs(found.rows), many=True).data
    return Answer({"jobs": listed, "nextCursor": found.next_cursor})


def _get_job(user: User, arguments: Arguments) -> Answer:
    execution = _job(user, arguments)
    (job,) = describe_jobs([execution], max_output=MAX_OUTPUT)
    hint = "The job is finished." if job.is_finished else "The job is not finished: call get_job again in 2 seconds."
    return Answer({**JobSerializer(job).data, "steps": _brief_steps(execution)}, hint)


def _brief_steps(execution: WorkflowExecution) -> list[dict[str, Any]]:
    """The first steps that run, wait or have failed, then as many others as there is room for."""
    matters = [StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED]
    rows = WorkflowStep.objects.filter(execution=execution).defer("output", "arguments")
    first = list(rows.filter(status__in=matters).order_by("index")[:STEPS_SHOWN])
    rest = rows.exclude(status__in=matters).order_by("index")[: STEPS_SHOWN - len(first)]
    described = describe_steps(sorted([*first, *rest], key=lambda row: row.index))
    shown = ("stepId", "index", "name", "tool", "status", "attempt", "progress", "message", "error")
    return [{name: step[name] for name in shown} for step in StepSerializer(described, many=True).data]


def _why_waiting(user: User, arguments: Arguments) -> Answer:
    (job,) = describe_jobs([_job(user, arguments)])
    reason = job.waiting_for or ("It is finished." if job.is_finished else "It is not waiting: a worker runs it.")
    return Answer({"jobId": str(job.id), "status": job.status, "waitingFor": reason})


def _list_steps(user: User, arguments: Arguments) -> Answer:
    query = _read(StepsRequest, arguments)
    execution = get_execution(user, query["job_id"])
    rows = WorkflowStep.objects.filter(execution=execution).defer("output", "arguments")
    if "status" in query:
        rows = rows.filter(status__in=query["status"])
    found = page(rows, ("index",), limit=query["limit"], cursor=query["cursor"])
    listed = StepSerializer(describe_steps(found.rows, with_names=True), many=True).data
    return Answer({"steps": listed, "nextCursor": found.next_cursor}, "get_job_step returns a step with its output.")


def _get_step(user: User, arguments: Arguments) -> Answer:
    query = _read(StepId, arguments)
    return Answer(step_json(find_step(get_execution(user, query["job_id"]), query["step_id"], None)))


def _cancel(user: User, arguments: Arguments) -> Answer:
    execution = _job(user, arguments)
    steer.cancel(user, execution)
    return Answer(started_json(execution), "The job was cancelled.")


def _retry(user: User, arguments: Arguments) -> Answer:
    execution = _job(user, arguments)
    steer.retry(user, execution)
    return Answer(started_json(execution), "Its steps that failed, were skipped or were cancelled run again.")


def _list_saved(user: User, arguments: Arguments) -> Answer:
    query = _read(WorkflowsQuery, arguments)
    found = page(list_workflows(user, query), NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = WorkflowSerializer(found.rows, many=True).data
    return Answer({"workflows": listed, "nextCursor": found.next_cursor})


def _list_step_tools(user: User, arguments: Arguments) -> Answer:
    query = _read(PageQuery, arguments)
    return Answer(tools_json(query["limit"], query["cursor"]))


def _search(user: User, arguments: Arguments) -> Answer:
    query = _read(SearchQuery, arguments)
    found = search(user, Question(query.pop("q"), **query))
    return Answer(found.as_json(), "read_document returns the page of a result.")


def _list_documents(user: User, arguments: Arguments) -> Answer:
    query = _read(DocumentsRequest, arguments)
    found = page(list_documents(user, query), ("-created_at", "-uid"), limit=query["limit"], cursor=query["cursor"])
    listed = DocumentSerializer(found.rows, many=True, context={"user": user}).data
    return Answer({"documents": listed, "nextCursor": found.next_cursor})


def _read_document(user: User, arguments: Arguments) -> Answer:
    query = _read(ReadRequest, arguments)
    return Answer(read_page(get_document(user, query.pop("document_id")), **query))


def _job(user: User, arguments: Arguments) -> WorkflowExecution:
    return get_execution(user, _read(JobId, arguments)["job_id"])


def _read(serializer: type[StrictSerializer], arguments: Arguments) -> dict[str, Any]:
    given = serializer(data=arguments)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


SHORT_LIST = {"limit": LISTED}
TOOLS = [
    Tool(
        "run_saved_workflow",
        "Run a saved workflow",
        "Starts a job from a workflow that was saved under a name. It runs in the background: get_job watches it.",
        Scope.RUN,
        SavedRunRequest,
        _run_saved,
        starts_job=True,
    ),
    Tool(
        "list_saved_workflows",
        "List saved workflows",
        "Lists the user's saved workflows. With owner=all, also those that others share.",
        Scope.READ,
        WorkflowsQuery,
        _list_saved,
        defaults=SHORT_LIST,
    ),
    Tool(
        "list_step_tools",
        "List the tools of steps",
        "Lists the tools that a step of start_workflow can name in `tool`, with the JSON Schema of their arguments. A "
        "step without a tool is done by a language model.",
        Scope.READ,
        PageQuery,
        _list_step_tools,
    ),
    Tool(
        "list_jobs",
        "List jobs",
        'Lists the user\'s unfinished jobs, newest first. status=["all"] lists finished ones too.',
        Scope.READ,
        JobsRequest,
        _list_jobs,
        defaults=SHORT_LIST,
    ),
    Tool(
        "get_job",
        "Watch a job",
        "Returns a job: its status, its progress in percent, its error, its output once it is finished, and up to 20 "
        "steps, those that run or failed first.",
        Scope.READ,
        JobId,
        _get_job,
    ),
    Tool(
        "why_waiting",
        "Ask why a job waits",
        "Explains why a job is not running: its place in the queue, a delay, a person's answer, no worker.",
        Scope.READ,
        JobId,
        _why_waiting,
    ),
    Tool(
        "list_job_steps",
        "List the steps of a job",
        'Lists the steps of a job without their outputs, for example those that failed: status=["failed"].',
        Scope.READ,
        StepsRequest,
        _list_steps,
        defaults=SHORT_LIST,
    ),
    Tool("get_job_step", "Read a step", "Returns a step of a job with its output.", Scope.READ, StepId, _get_step),
    Tool(
        "cancel_job",
        "Cancel a job",
        "Cancels an unfinished job at once. What is running is stopped, finished steps are kept.",
        Scope.RUN,
        JobId,
        _cancel,
        is_destructive=True,
    ),
    Tool(
        "retry_job",
        "Retry a job",
        "Runs the steps of a finished job again that failed, were skipped or were cancelled.",
        Scope.RUN,
        JobId,
        _retry,
    ),
    Tool(
        "search_documents",
        "Search documents",
        "Finds the passages of the user's documents that answer a question best. `q` is words, or a phrase in quotation"
        " marks.",
        Scope.READ,
        SearchQuery,
        _search,
    ),
    Tool(
        "list_documents",
        "List documents",
        "Lists the user's documents, newest first.",
        Scope.READ,
        DocumentsRequest,
        _list_documents,
        defaults=SHORT_LIST,
    ),
    Tool(
        "read_document",
        "Read a document",
        "Returns the text of one page of an indexed document, or of one chunk that a search found. Pages are counted "
        "from 1. A long page is cut: continue with `start`.",
        Scope.READ,
        ReadRequest,
        _read_document,
    ),
]
