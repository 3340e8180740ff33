"""A real HTTP server that answers as a script says."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.local import Handler, LocalServer

JOB: dict[str, Any] = {
    "jobId": "j1",
    "jobType": "workflow",
    "name": "Review",
    "description": "",
    "owner": "alice",
    "status": "running",
    "waitingFor": None,
    "mode": "General",
    "modelId": None,
    "projectId": None,
    "tags": [],
    "priority": "normal",
    "progress": {"total": 2, "completed": 1, "failed": 0, "percent": 50, "message": ""},
    "output": None,
    "error": None,
    "usage": {"inputTokens": 0, "outputTokens": 0, "costUsd": None},
    "rerunOf": None,
    "reused": None,
    "workflow": None,
    "workflowVersion": None,
    "isFinished": False,
    "createdAt": "2026-01-01T00:00:00.123Z",
    "startedAt": None,
    "finishedAt": None,
    "durationMs": None,
}
FINISHED = JOB | {"status": "completed", "isFinished": True, "output": {"text": "done"}}
STARTED = {"jobId": "j1", "jobType": "workflow", "status": "queued", "url": "/api/jobs/j1", "panelUrl": "/jobs/j1"}


@dataclass
class Reply:
    """`raw` is sent as it is, instead of an answer; then the connection is closed."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


CUT = Reply(raw=b"")


def error(status: int, code: str = "throttled", **headers: str) -> Reply:
    """An error in the shape of the API."""
    body = {"type": "client_error", "errors": [{"code": code, "detail": "The reason.", "attr": None}]}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class FlakyServer(LocalServer):
    """Sends the replies of `script` one after another, and the last one from then on."""

    def __init__(self, *script: Reply) -> None:
        super().__init__(FlakyHandler)
        self.script = list(script)

    @property
    def paths(self) -> list[str]:
        return [request["path"] for request in self.requests]

    @property
    def keys(self) -> list[str | None]:
        return [request["headers"].get("idempotency-key") for request in self.requests]


class FlakyHandler(Handler):
    server: FlakyServer

    def _reply(self) -> None:
        self.read_request()
        script = self.server.script
        reply = script.pop(0) if len(script) > 1 else script[0]
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.answer(reply.status, body, reply.headers)

    do_GET = do_POST = do_PUT = do_DELETE = _reply


Serve = Callable[..., FlakyServer]
