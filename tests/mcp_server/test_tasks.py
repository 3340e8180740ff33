"""A job as a Task of the protocol, with the official client and the extension that the SDK does not bring along."""

from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result

from aiworkstation.audit.models import AuditEvent
from tests.mcp_server.conftest import Site
from tests.support.jobs import BODY, claim, complete_all, fail, start_job
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)


class CreatedTask(Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    poll_interval_ms: int


class Task(Result):
    task_id: str
    status: str
    status_message: str
    ttl_ms: int | None
    result: dict[str, Any] | None = None


class TaskParams(RequestParams):
    task_id: str


class TaskRequest(Request[TaskParams, str]):
    name_param = "taskId"


class Tasks(ClientExtension):
    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.resolve)]

    async def resolve(self, task: CreatedTask, context: ClaimContext) -> CallToolResult:
        raise AssertionError("the tests ask for the task itself")


async def start(client: Client) -> CreatedTask:
    created = await client.session.call_tool("start_workflow", {"payload": BODY["payload"]}, allow_claimed=True)
    assert isinstance(created, CreatedTask)
    return created


def ask(site: Site, user: User, method: str, id: str, kind: type[Any] = Task) -> Any:
    """The answer to the method of tasks, or the message of its error."""

    async def use(client: Client) -> Any:
        request = TaskRequest(method=f"tasks/{method}", params=TaskParams(task_id=id))
        try:
            return await client.session.send_request(request, kind)
        except MCPError as error:
            return error.error.message

    return site.run(user, use, extensions=[Tasks()])


def test_it_works(site: Site, alice: User) -> None:
    created = site.run(alice, start, extensions=[Tasks()])
    assert (created.status, created.poll_interval_ms) == ("working", 2000)
    execution = WorkflowExecution.objects.get(pk=created.task_id)
    working = ask(site, alice, "get", created.task_id)
    assert (working.status, working.result, working.ttl_ms) == ("working", None, None)
    assert working.status_message == "queued, 0 percent", "names of steps would not be fenced here"
    complete_all(execution, {"text": "The pelican sleeps."})
    done = ask(site, alice, "get", created.task_id)
    assert done.status == "completed"
    result = CallToolResult.model_validate(done.result)
    assert not result.is_error
    assert "The pelican sleeps." in str(result.content)


def test_a_client_without_the_extension_gets_a_plain_result(site: Site, alice: User) -> None:
    async def use(client: Client) -> CallToolResult:
        return await client.call_tool("start_workflow", {"payload": BODY["payload"]})

    for mode in ("auto", "legacy"):
        assert "jobId" in (site.run(alice, use, mode=mode).structured_content or {})


def test_a_failed_job_is_a_completed_task_with_an_error(site: Site, alice: User) -> None:
    """The status `failed` is for errors of the protocol."""
    job = start_job(alice)
    fail(claim(job.pk)[0], "the pelican left")
    task = ask(site, alice, "get", str(job.pk))
    assert (task.status, task.result["isError"]) == ("completed", True)
    assert "the pelican left" in str(task.result)


def test_cancel(site: Site, alice: User) -> None:
    job = start_job(alice)
    for _ in range(2):  # a finished task is acknowledged too
        assert not isinstance(ask(site, alice, "cancel", str(job.pk), Result), str)
    assert ask(site, alice, "get", str(job.pk)).status == "cancelled"


def test_an_update_is_acknowledged(site: Site, alice: User) -> None:
    assert not isinstance(ask(site, alice, "update", str(start_job(alice).pk), Result), str)


@pytest.mark.parametrize("method", ["get", "cancel", "update"])
def test_a_task_is_its_owners(site: Site, alice: User, bob: User, charlie: User, method: str) -> None:
    """Staff see the job by its id with the tools, but it is not their task."""
    job = start_job(alice)
    for user in (bob, charlie):
        assert "not found" in ask(site, user, method, str(job.pk), Result).lower()
    assert AuditEvent.objects.filter(action="request.refused", object=f"job:{job.pk}").count() == 2
    for id in ("", "no-such", "0" * 5000):
        assert "not found" in ask(site, alice, method, id, Result).lower()
