"""Crash isolation: a step that crashed twice runs in a process of its own, so that its next crash hits no other step.

The child is `manage.py execute_alone`. It reads the claim from its standard input, executes it, and writes pickled
frames to its standard output: STARTED, progress reports, and at last the outcome. Its parent renews the lease and
records the outcome.
"""

import asyncio
import contextlib
import pickle
import signal
import struct
import sys
from functools import partial
from typing import Any, BinaryIO

from aiworkstation import BASE_DIR
from aiworkstation.ops.linux import die_with_parent, kill_group
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.errors import StepError
from workflows.worker.step_executor import ReportProgress

STARTED = (None, "")
_LENGTH = struct.Struct(">I")


async def execute_alone(claim: Claim, report: ReportProgress) -> Outcome:
    """Like `StepExecutor.execute`. A process that dies without an outcome counts as a crash of the step."""
    try:
        process = await _start_child()
    except OSError as error:  # no memory, or too many processes
        return _not_started(claim, str(error))
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # A child that died at its start reads nothing. Its exit code is handled below.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(pickle.dumps(claim))
            process.stdin.close()
        # A process that dies before it has begun says nothing about the step: that is a wait, and no crash.
        started = False
        while (frame := await _read_frame(process.stdout)) is not None:
            if isinstance(frame, Outcome):
                return frame
            started = True
            report(*frame)
        return _outcome_of_death(claim, await process.wait(), started)
    finally:
        # Also after an outcome: what the step has started in its process must not go on.
        kill_group(process.pid)


async def _start_child() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(BASE_DIR / "manage.py"),
        "execute_alone",
        cwd=BASE_DIR,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Its own process group, so that kill_group reaches everything that the step has started.
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGKILL),
    )


def _not_started(claim: Claim, why: str) -> Outcome:
    error = StepError(f"a process for this step could not start ({why})", code="not_started")
    return Outcome.waiting(claim, error, None)


def _outcome_of_death(claim: Claim, code: int, started: bool) -> Outcome:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    return Outcome.crashed(claim, how) if started else _not_started(claim, how)


async def _read_frame(reader: asyncio.StreamReader) -> Any:
    """Returns None at the end of the stream."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))  # noqa: S301 - from our own child
    except asyncio.IncompleteReadError:
        return None


def write_frame(output: BinaryIO, frame: Any) -> None:
    data = pickle.dumps(frame)
    output.write(_LENGTH.pack(len(data)) + data)
    output.flush()
