"""The tools of the chaos run. Each writes its start, signs of life and its end to the ledger, and calls a server."""

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.child import SLICE
from tests.chaos.ledger import ALIVE, END, START, Writer
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.errors import StepError, TryLater
from workflows.models import StepStatus
from workflows.network import http_client
from workflows.tools import Arguments, OutsideAnswer, StepContext, Tool, register
from workflows.worker.sandbox.confinement import ChildFiles
from workflows.worker.step_executor import StepExecutor


class Work(Arguments):
    """`url` is called first, with the idempotency key. `failures` is how many attempts fail.

    `refuses` names the field of the outcome that gets a value which the database refuses."""

    url: str
    seconds: float = 0.0
    failures: int = 0
    retryable: bool = True
    refuses: str = ""


# Values that the database refuses, by the field of the outcome.
REFUSED = {"model": "m" * 300, "output": "[" * 20_000 + "]" * 20_000, "usage": '{"inputTokens": NaN}'}
_execute = StepExecutor.execute


async def _execute_oddly(self: StepExecutor, claim: Claim, *arguments: Any) -> Outcome:
    """Values from outside are checked on arrival, so no tool can return such a value by itself."""
    outcome = await _execute(self, claim, *arguments)
    name = (claim.arguments or {}).get("refuses")
    if name and outcome.status == StepStatus.COMPLETED:
        setattr(outcome, name, REFUSED[name])
    return outcome


StepExecutor.execute = _execute_oddly  # type: ignore[method-assign, assignment]


def holder() -> int:
    """The process that holds the lease: this one, or its parent if the step runs alone."""
    return os.getppid() if "execute_alone" in sys.argv else os.getpid()


@contextmanager
def recorded(context: StepContext, kind: str) -> Iterator[Writer]:
    """Writes the start of a run to the ledger, and its end if it succeeds."""
    run = Writer(os.environ["CHAOS_LEDGER"], str(context.step_id), context.attempt, kind, holder())
    run.write(START)
    try:
        yield run
        run.write(END)
    finally:
        run.close()


def fail_as_asked(context: StepContext, arguments: Work) -> None:
    if context.attempt <= arguments.failures:
        raise StepError(f"attempt {context.attempt} fails, as it should", retryable=arguments.retryable)


@register
class Async(Tool):
    slug = "CHAOS_ASYNC"
    description = "Calls a server and then waits. A busy server makes the step wait."
    Arguments = Work

    async def run(self, context: StepContext, arguments: Work) -> str:
        with recorded(context, "async") as run:
            headers = {"idempotency-key": context.idempotency_key}
            response = await http_client.send(http_client.Request("POST", arguments.url, headers=headers, body=b"{}"))
            if response.json()["busy"]:
                raise TryLater("busy, as it should be", delay=0.5)
            fail_as_asked(context, arguments)
            until = time.monotonic() + arguments.seconds
            while (left := until - time.monotonic()) > 0:
                await asyncio.sleep(min(left, SLICE))
                run.write(ALIVE)
        return "done"


@register
class Outside(Tool):
    slug = "CHAOS_OUTSIDE"
    description = "Hands the step to the outside worker of `callbacks.py`."
    Arguments = Work
    is_answered_outside = True

    async def run(self, context: StepContext, arguments: Work) -> OutsideAnswer:
        headers = {"idempotency-key": context.idempotency_key}
        await http_client.send(http_client.Request("POST", arguments.url, headers=headers, body=b"{}"))
        return OutsideAnswer(600)


@register
class Thread(Tool):
    slug = "CHAOS_THREAD"
    description = "Blocks a thread."
    slot = "thread"
    Arguments = Work

    def run(self, context: StepContext, arguments: Work) -> str:
        with recorded(context, "thread") as run:
            headers = {"idempotency-key": context.idempotency_key}
            urllib.request.urlopen(urllib.request.Request(arguments.url, b"{}", headers)).close()
            fail_as_asked(context, arguments)
            until = time.monotonic() + arguments.seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, SLICE))
                run.write(ALIVE)
        return "done"


@register
class Child(Tool):
    slug = "CHAOS_CHILD"
    description = "Works in a child process. The run that counts is the child's."
    slot = "process"
    Arguments = Work

    async def run(self, context: StepContext, arguments: Work) -> Any:
        assert context.run_child is not None
        headers = {"idempotency-key": context.idempotency_key}
        await http_client.send(http_client.Request("POST", arguments.url, headers=headers, body=b"{}"))
        details = {
            "ledger": os.environ["CHAOS_LEDGER"],
            "step": str(context.step_id),
            "attempt": context.attempt,
            "seconds": arguments.seconds,
            "holder": holder(),
        }
        files = ChildFiles(folder=str(Path(os.environ["CHAOS_LEDGER"]).parent))
        return await context.run_child("tests.chaos.child:work", details, files=files)
