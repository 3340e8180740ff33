"""The JavaScript client: its types, and its behavior in Node against a server that answers badly."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from tests.servers.local import Handler, LocalServer
from tests.support.node import CLIENT, run_node
from tests.support.processes import manage
from workflows.models import Mode, WorkflowExecution


def test_the_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    """Run `make openapi` and commit clients/js/openapi.d.ts."""
    made = tmp_path / "openapi.d.ts"
    document = str(BASE_DIR / "docs" / "openapi.json")
    run_node("openapi-typescript", document, "--default-non-nullable=false", "--output", str(made))
    assert made.read_text() == (CLIENT / "openapi.d.ts").read_text(), "run `make openapi`, and commit the result"


def test_the_types_fit_what_pages_do() -> None:
    command = json.loads((CLIENT / "package.json").read_text())["scripts"]["check"]
    run_node(*command.split())


def test_it_has_no_dependencies() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert "dependencies" not in package
    assert package["peerDependenciesMeta"] == {"react": {"optional": True}}


Answer = tuple[int, Any, dict[str, str]]


class Script(LocalServer):
    """`answers` lists the next answers: status, body, headers. None cuts the connection."""

    def __init__(self) -> None:
        super().__init__(ScriptHandler)
        self.answers: list[Answer | None] = []


class ScriptHandler(Handler):
    server: Script

    def do_GET(self) -> None:
        self.read_request()
        answer = self.server.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        self.answer(*answer)

    do_POST = do_GET


@pytest.fixture
def server() -> Iterator[Script]:
    with Script() as script:
        yield script


def call(server: Script, code: str) -> Any:
    """Runs code of a module in Node, with `client`, and returns what it prints as JSON."""
    module = f"""
    import {{ ApiClient, ApiError, BackgroundJobs }} from "{CLIENT}/index.js";
    const client = new ApiClient({{ baseUrl: "{server.url}", token: "secret" }});
    const show = (value) => console.log(JSON.stringify(value));
    const failed = async (promise) => promise.then(() => null, (error) => ({{ name: error.name, ...error }}));
    {code}
    """
    return json.loads(run_node("node", "--input-type=module", "--eval", module))


STARTED: Answer = (202, {"jobId": "1"}, {})
START = 'show(await client.startJob("workflow", { workflowName: "W", steps: [] }));'


def keys(server: Script) -> set[str]:
    return {request["headers"]["idempotency-key"] for request in server.requests}


@pytest.mark.parametrize("first", [None, (503, {}, {}), (429, {}, {"retry-after": "0"}), (502, b"<html>", {})])
def test_a_start_is_repeated_with_its_key(server: Script, first: Any) -> None:
    server.answers = [first, STARTED]
    assert call(server, START) == {"jobId": "1"}
    assert len(server.requests) == 2
    assert len(keys(server)) == 1


def test_each_start_has_a_key_of_its_own(server: Script) -> None:
    server.answers = [STARTED, STARTED]
    call(server, START.replace("show(await", "void (await") + START)
    assert len(keys(server)) == 2


@pytest.mark.parametrize("first", [None, (502, {}, {}), (500, {}, {})])
def test_a_cancel_is_not_repeated(server: Script, first: Any) -> None:
    """It may have been carried out, and then the second one would fail."""
    server.answers = [first]
    assert call(server, 'show(await failed(client.cancelJob("1")));')["name"] == "ApiError"
    assert len(server.requests) == 1


def test_a_long_wait_is_the_callers_decision(server: Script) -> None:
    server.answers = [(429, {}, {"retry-after": "3600"})]
    assert call(server, 'show(await failed(client.getJob("1")));')["retryAfter"] == 3600
    assert len(server.requests) == 1


def test_an_error_has_its_codes(server: Script) -> None:
    errors = [{"code": "unknown", "detail": "There is no mode X.", "attr": "payload.mode"}]
    server.answers = [(400, {"type": "validation_error", "errors": errors}, {"x-request-id": "r1"})]
    code = START.replace("show(await", "show(await failed(").replace("));", ")));")
    error = call(server, code)
    assert (error["status"], error["code"], error["errors"], error["requestId"]) == (400, "unknown", errors, "r1")


def test_the_token_goes_nowhere_else(server: Script) -> None:
    """Not after a redirect, and not into an error."""
    with Script() as elsewhere:
        server.answers = [(302, {}, {"location": f"{elsewhere.url}/api/jobs/1"})]
        code = 'const error = await client.send("GET", "/api/jobs/1").catch((error) => error); show(`${error.stack}`);'
        assert "secret" not in call(server, code)
        assert elsewhere.requests == []
    server.answers = []
    assert "secret" not in json.dumps(call(server, "show([client, new BackgroundJobs({ client })]);"))


@pytest.mark.parametrize("base", ["javascript:alert(1)", "ftp://a", "http://u:p@a", "https://a/?x", "https://a/#x", ""])
def test_an_address_that_is_none(server: Script, base: str) -> None:
    code = f'try {{ await new ApiClient({{ baseUrl: "{base}" }}).send("GET", "/api/jobs") }}'
    assert "baseUrl" in call(server, f"{code} catch (error) {{ show(error.message) }}")


@pytest.mark.parametrize("path", ["@evil.example/", ".evil.example/", "0/", "api/jobs", ""])
def test_a_path_cannot_change_the_host(server: Script, path: str) -> None:
    assert "slash" in call(server, f'show((await client.send("GET", "{path}").catch((error) => error)).message);')


@pytest.mark.parametrize("token", ["secret\\n", "secret blank", "secret\\0", "sécret"])
def test_a_broken_token_is_not_quoted(server: Script, token: str) -> None:
    code = f"""const store = new BackgroundJobs({{ baseUrl: "{server.url}", token: () => "{token}" }});
    await store.refreshJobs();
    show(store.getSnapshot().error);"""
    error = call(server, code)
    assert "API token" in error
    assert "cret" not in error


def test_react_renders_it_on_a_server(server: Script) -> None:
    code = f"""const {{ createElement }} = await import("react");
    const {{ renderToString }} = await import("react-dom/server");
    const {{ BackgroundJobsPanel, useBackgroundJobs }} = await import("{CLIENT}/react/index.js");
    const Jobs = () => String(useBackgroundJobs().isLoading);
    const panel = createElement(BackgroundJobsPanel, {{ compact: true, key: 1 }});
    show(renderToString([panel, createElement(Jobs, {{ key: 2 }})]));
    """
    if not (CLIENT / "node_modules" / "react").exists():
        pytest.skip("the packages of clients/js are not installed: run `make js`")
    assert call(server, code) == '<background-jobs-panel compact=""></background-jobs-panel>true'


def test_ids_and_queries_are_encoded(server: Script) -> None:
    server.answers = [(200, {}, {}), (200, {"jobs": [], "nextCursor": None}, {})]
    call(server, 'await client.getJob("../../x?y"); for await (const _ of client.jobs({ tag: "a&b" })); show(1);')
    assert [request["path"] for request in server.requests] == ["/api/jobs/..%2F..%2Fx%3Fy", "/api/jobs?tag=a%26b"]


def test_all_pages_of_a_list(server: Script) -> None:
    pages = [{"jobs": [{"jobId": "1"}], "nextCursor": "next"}, {"jobs": [{"jobId": "2"}], "nextCursor": None}]
    server.answers = [(200, page, {}) for page in pages]
    code = "const found = []; for await (const job of client.jobs()) found.push(job.jobId); show(found);"
    assert call(server, code) == ["1", "2"]
    assert server.requests[1]["path"].endswith("cursor=next")


def test_wait_for_a_job(server: Script) -> None:
    running = {"jobId": "1", "isFinished": False, "progress": {"percent": 50}}
    server.answers = [(200, running, {"etag": 'W/"a"'}), (304, b"", {}), (200, {**running, "isFinished": True}, {})]
    code = """const seen = [];
    const job = await client.waitForJob("1", { interval: 10, onChange: (job) => seen.push(job.isFinished) });
    show([job.isFinished, seen]);"""
    assert call(server, code) == [True, [False, True]]
    assert server.requests[1]["headers"]["if-none-match"] == 'W/"a"'


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_examples_of_the_documentation(live_server: LiveServer, alice: User, tmp_path: Path) -> None:
    """As written, but for the address and the token, and with a file. Slow: a worker starts."""
    Mode.objects.get_or_create(name="General")
    text = (BASE_DIR / "docs" / "clients.md").read_text().replace("https://jobs.example.com", live_server.url)
    calls, follow = re.findall(r"```js\n(.*?)```", text.replace("aiw_…", ApiToken.issue(alice)[1]), re.DOTALL)
    file = 'const input = { files: [new File(["The notice period is a month."], "notice.txt")] };'
    with manage("work", log=tmp_path / "work.log", WORKERS="1"):
        shown = run_node(
            "node", "--input-type=module", "--eval", f"{file}\n{calls}\nconsole.log(results.length, 'found');"
        )
    assert "100" in shown.split()
    assert "1 found" in shown
    run_node("node", "--input-type=module", "--eval", follow)
    assert list(WorkflowExecution.objects.values_list("job_type", flat=True).order_by("created_at")) == [
        "bulk-documents",
        "workflow",
    ]


class TestTheStore:
    JOB = {"jobId": "1", "name": "J", "status": "running", "isFinished": False}

    def test_the_snapshot_is_stable(self, server: Script) -> None:
        page = {"jobs": [self.JOB], "nextCursor": None}
        server.answers = [(200, page, {"etag": "a"}), (304, b"", {}), (200, {**page, "jobs": [self.JOB] * 1}, {})]
        code = """const store = new BackgroundJobs({ client });
        const first = (await store.refreshJobs(), store.getSnapshot());
        const same = (await store.refreshJobs(), store.getSnapshot());
        const again = (await store.refreshJobs(), store.getSnapshot());
        show([first === same, first.jobs[0] === again.jobs[0], first.hasRunningJobs, Object.isFrozen(first.jobs)]);"""
        assert call(server, code) == [True, True, True, True]

    def test_a_refusal_is_in_the_snapshot_and_in_the_promise(self, server: Script) -> None:
        errors = [{"code": "unknown", "detail": "There is no mode X.", "attr": "payload.mode"}]
        server.answers = [(400, {"type": "validation_error", "errors": errors}, {})]
        code = """const store = new BackgroundJobs({ client });
        const states = [];
        store.getSnapshot().isLoading;
        const promise = failed(store.triggerWorkflowJob({}));
        states.push(store.getSnapshot().isLoading);
        const error = await promise;
        show([error.code, store.getSnapshot().error, ...states, store.getSnapshot().isLoading]);"""
        assert call(server, code) == ["unknown", "payload.mode: There is no mode X.", True, False]

    def test_a_start_is_followed_by_a_read_that_began_later(self, server: Script) -> None:
        page = {"jobs": [self.JOB], "nextCursor": None}
        server.answers = [(200, {**page, "jobs": []}, {}), STARTED, (200, page, {})]
        code = """const store = new BackgroundJobs({ client });
        await store.refreshJobs();
        await store.triggerBulkDocuments({ documents: [] });
        show(store.getSnapshot().jobs.length);"""
        assert call(server, code) == 1
        assert server.requests[1]["body"]["jobType"] == "bulk-documents"

    def test_it_polls_while_it_has_subscribers(self, server: Script) -> None:
        pages = [{"jobs": [{**self.JOB, "name": str(number)}], "nextCursor": None} for number in range(9)]
        server.answers = [(200, page, {}) for page in pages]
        code = """const store = new BackgroundJobs({ client, interval: 20 });
        const stop = await new Promise((seen) => {
          const stop = store.subscribe(() => store.getSnapshot().jobs[0].name === "2" && seen(stop));
        });
        stop();
        show(1);"""
        call(server, code)  # Node ends, so no timer is left
        assert len(server.requests) == 3
