"""Tools that behave in one way each: they sleep, block, fail, wait, crash, or return something odd."""

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from django.db import OperationalError
from pydantic import Field

from workflows.errors import StepError, TryLater
from workflows.tools import Arguments, NoArguments, StepContext, Tool, register
from workflows.worker.sandbox.confinement import ChildFiles


def write_to_ledger(word: str, context: StepContext) -> None:
    line = f"{word} {context.step_name} {context.attempt} {os.getpid()} {time.time():.3f}\n"
    with Path(os.environ["PROBE_LEDGER"]).open("a") as ledger:
        ledger.write(line)


class Timing(Arguments):
    seconds: float = 0.0


@register
class Sleep(Tool):
    slug = "PROBE_SLEEP"
    description = "Sleeps. Writes its start and its end."
    Arguments = Timing

    async def run(self, context: StepContext, arguments: Timing) -> dict[str, Any]:
        write_to_ledger("start", context)
        await asyncio.sleep(arguments.seconds)
        write_to_ledger("end", context)
        return {"step": context.step_name, "key": context.idempotency_key}


@register
class Report(Tool):
    slug = "PROBE_REPORT"
    description = "Reports progress that no database can store."

    async def run(self, context: StepContext, arguments: NoArguments) -> str:
        for percent, message in ((10**9, "\ud800"), (float("nan"), "x" * 1000), (-(10**6), "\0")):
            context.report(percent, message)  # type: ignore[arg-type]
            await asyncio.sleep(0.3)
        return "done"


@register
class Block(Tool):
    slug = "PROBE_BLOCK"
    description = "Sleeps in a thread."
    slot = "thread"
    Arguments = Timing

    def run(self, context: StepContext, arguments: Timing) -> str:
        write_to_ledger("start", context)
        time.sleep(arguments.seconds)
        write_to_ledger("end", context)
        return "done"


class Failing(Arguments):
    times: int = 1
    retryable: bool = True


@register
class Fail(Tool):
    slug = "PROBE_FAIL"
    description = "Fails a number of times."
    Arguments = Failing

    async def run(self, context: StepContext, arguments: Failing) -> str:
        write_to_ledger("start", context)
        if context.attempt <= arguments.times:
            raise StepError(f"attempt {context.attempt} fails", retryable=arguments.retryable)
        return "at last"


class Waiting(Arguments):
    times: int = 1
    delay: float | None = 0.1


@register
class Wait(Tool):
    slug = "PROBE_WAIT"
    description = "Raises TryLater a number of times."
    Arguments = Waiting

    async def run(self, context: StepContext, arguments: Waiting) -> str:
        write_to_ledger("start", context)
        seen = Path(os.environ["PROBE_LEDGER"]).read_text().count(f"start {context.step_name} ")
        if seen <= arguments.times:
            raise TryLater("busy", delay=arguments.delay)
        return "at last"


class ChildCall(Arguments):
    function: str = Field(default="sleep")
    seconds: float = 0.0


@register
class Child(Tool):
    slug = "PROBE_CHILD"
    description = "Works in a child process."
    slot = "process"
    Arguments = ChildCall

    async def run(self, context: StepContext, arguments: ChildCall) -> Any:
        write_to_ledger("start", context)
        assert context.run_child is not None
        ledger = os.environ["PROBE_LEDGER"]
        details = {"seconds": arguments.seconds, "ledger": ledger, "name": context.step_name}
        files = ChildFiles(folder=str(Path(ledger).parent))
        return await context.run_child(f"tests.probe.child:{arguments.function}", details, files=files)


class Leaving(Timing):
    late: bool = False


@register
class Leave(Tool):
    slug = "PROBE_LEAVE"
    description = "Leaves its slot at once, or with `late` when it ends or is cut off."
    slot = "process"
    Arguments = Leaving

    async def run(self, context: StepContext, arguments: Leaving) -> None:
        write_to_ledger("start", context)
        if not arguments.late:
            context.leave_slot()
        try:
            await asyncio.sleep(arguments.seconds)
        finally:
            context.leave_slot()
        write_to_ledger("end", context)


@register
class Die(Tool):
    slug = "PROBE_DIE"
    description = "Kills the process that it runs in."

    async def run(self, context: StepContext, arguments: Any) -> None:
        write_to_ledger("start", context)
        os.kill(os.getpid(), signal.SIGKILL)


@register
class Raise(Tool):
    slug = "PROBE_RAISE"
    description = "Raises an error that no tool should, with a secret in its text."

    async def run(self, context: StepContext, arguments: Any) -> Any:
        password = os.environ.get("SECRET_PROBE", "")
        raise RuntimeError(f"the probe broke with {password}")


@register
class Odd(Tool):
    slug = "PROBE_ODD"
    description = "Returns something that is not JSON."

    async def run(self, context: StepContext, arguments: Any) -> Any:
        return {"number": float("nan")}


class Size(Arguments):
    size: int


@register
class Large(Tool):
    slug = "PROBE_LARGE"
    description = "Returns a text of this size."
    Arguments = Size

    async def run(self, context: StepContext, arguments: Size) -> str:
        return "x" * arguments.size


class Depth(Arguments):
    depth: int


@register
class Deep(Tool):
    slug = "PROBE_DEEP"
    description = "Returns lists in lists."
    Arguments = Depth

    async def run(self, context: StepContext, arguments: Depth) -> Any:
        value: Any = []
        for _ in range(arguments.depth - 1):
            value = [value]
        return value


@register
class Nul(Tool):
    slug = "PROBE_NUL"
    description = "Returns text that PostgreSQL does not accept."

    async def run(self, context: StepContext, arguments: Any) -> Any:
        return {"text": "a\0b\ud800c"}


@register
class Database(Tool):
    slug = "PROBE_DATABASE"
    description = "Raises a database error the first time."

    async def run(self, context: StepContext, arguments: Any) -> str:
        write_to_ledger("start", context)
        if Path(os.environ["PROBE_LEDGER"]).read_text().count(f"start {context.step_name} ") == 1:
            raise OperationalError("the connection is closed")
        return "back"


class Impatient(Timing):
    patience: float


@register
class Limited(Tool):
    slug = "PROBE_LIMITED"
    description = "Waits for an answer for a limited time."
    Arguments = Impatient

    async def run(self, context: StepContext, arguments: Impatient) -> str:
        write_to_ledger("start", context)
        async with asyncio.timeout(arguments.patience):
            await asyncio.sleep(arguments.seconds)
        return "answered"


@register
class OwnTimeout(Tool):
    slug = "PROBE_OWN_TIMEOUT"
    description = "Raises a timeout of its own."

    async def run(self, context: StepContext, arguments: Any) -> None:
        raise TimeoutError("a socket")


@register
class Hold(Tool):
    slug = "PROBE_HOLD"
    description = "Holds the interpreter lock, so that no other thread of its process runs."
    slot = "thread"
    Arguments = Timing

    def run(self, context: StepContext, arguments: Timing) -> None:
        write_to_ledger("start", context)
        ctypes.PyDLL(None).usleep(int(arguments.seconds * 1e6))
        write_to_ledger("end", context)
