"""An outside worker, as another system would be: accepts signed steps and answers with signed callbacks.

The path says how it behaves: `/at-once`, `/later`, `/progress`, `/failing`, `/replaying`, `/wrong-token`, `/silent`, …
By hand: `python -m tests.servers.outside_worker --port 9300`, with CALLBACK_SECRET as printed.
"""

import argparse
import base64
import json
import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.servers.local import Handler, LocalServer

SECRET = base64.b64encode(b"of the tests alone, 32 bytes long").decode()
SOON = 0.2


def signed(body: Any, *, secret: str = SECRET, id: str = "", at: datetime | None = None) -> tuple[str, dict[str, str]]:
    """Returns the body as text and the headers that sign it."""
    text = body if isinstance(body, str) else json.dumps(body)
    id = id or f"msg_{uuid4().hex}"
    at = at or datetime.now(UTC)
    return text, {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, at, text),
    }


class OutsideWorker(LocalServer):
    """`tasks` are the bodies that it received, `answers` the statuses and bodies that its callbacks got back."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(OutsideHandler, port)
        self.tasks: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self.ended = threading.Event()

    def __exit__(self, *details: object) -> None:
        self.ended.set()
        super().__exit__(*details)

    def call_back(self, task: dict[str, Any], *, id: str = "", **update: Any) -> None:
        body = {name: task[name] for name in ("executionId", "stepId", "callbackToken")} | update
        text, headers = signed(body, id=id)
        response = httpx2.post(task["callbackUrl"], content=text, headers=headers, timeout=10)
        self.answers.append((response.status_code, response.json()))


class OutsideHandler(Handler):
    server: OutsideWorker

    def do_POST(self) -> None:
        request = self.read_request()
        try:
            task = Webhook(SECRET).verify(self.raw, request["headers"])
        except WebhookVerificationError as error:
            self.answer(401, {"error": str(error)})
            return
        self.server.tasks.append(task)
        getattr(self, f"do_{self.path.strip('/').replace('-', '_')}")(task)

    def done(self, task: dict[str, Any]) -> None:
        self.server.call_back(task, status="completed", output={"seen": task["payload"], "attempt": task["attempt"]})

    def accept(self) -> None:
        self.answer(202, {})
        time.sleep(SOON)

    def do_at_once(self, task: dict[str, Any]) -> None:
        """Sends the callback before it answers the request."""
        self.done(task)
        self.answer(200, {})

    def do_at_once_and_cut(self, task: dict[str, Any]) -> None:
        self.done(task)
        self.close_connection = True

    def do_later(self, task: dict[str, Any]) -> None:
        self.accept()
        self.done(task)

    def do_progress(self, task: dict[str, Any]) -> None:
        self.accept()
        for percent in (10, 60):
            self.server.call_back(task, status="running", progress=percent, message=f"{percent} of 100 pages")
            time.sleep(SOON)
        self.done(task)

    def do_failing(self, task: dict[str, Any]) -> None:
        self.accept()
        error = {"code": "no_paper", "message": "the printer is out of paper", "retryable": False}
        self.server.call_back(task, status="failed", error=error)

    def do_failing_once(self, task: dict[str, Any]) -> None:
        self.accept()
        if task["attempt"] == 1:
            self.server.call_back(task, status="failed", error="try me again")
        else:
            self.done(task)

    def do_replaying(self, task: dict[str, Any]) -> None:
        self.accept()
        for _ in range(2):
            self.server.call_back(task, id=f"msg-{task['stepId']}", status="completed", output="once")

    def do_wrong_token(self, task: dict[str, Any]) -> None:
        self.accept()
        self.server.call_back(task | {"callbackToken": "f" * 64}, status="completed", output="forged")
        self.done(task)

    def do_silent(self, task: dict[str, Any]) -> None:
        self.answer(202, {})

    def do_silent_once(self, task: dict[str, Any]) -> None:
        self.accept()
        if task["attempt"] > 1:
            self.done(task)

    def do_hold_once(self, task: dict[str, Any]) -> None:
        """Does not answer the first request while its connection is open."""
        if len(self.server.tasks) > 1:
            self.do_at_once(task)
        else:
            self.server.ended.wait(60)
            self.close_connection = True

    def do_busy_once(self, task: dict[str, Any]) -> None:
        """Accepts the step, but answers that it is busy."""
        if len(self.server.tasks) > 1:
            self.answer(500, {})
            return
        self.answer(503, {}, {"retry-after": "30"})
        time.sleep(SOON)
        self.done(task)

    def do_moved(self, task: dict[str, Any]) -> None:
        self.answer(307, {}, {"location": "/at-once"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9300)
    with OutsideWorker(parser.parse_args().port) as server:
        print(f"CALLBACK_SECRET={SECRET} HTTP_ALLOWED_PRIVATE_HOSTS={server.place}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
