"""A step in a process of its own: what has seen two crashes must not take others with it a third time.

The child is `manage.py perform_alone`. It reads the claim from its standard input, performs it, and writes pickled
frames to its standard output: READY, progress reports, and at last the outcome. It renews no lease and records nothing:
its parent does.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from aiworkstation.ops.linux import die_with_parent
from workflows.errors import StepError
from workflows.steps import Claim, Outcome, crashed, waits

Report = Callable[[int | None, str], None]
ROOT = Path(__file__).resolve().parent.parent
READY = (None, "")
_LENGTH = struct.Struct(">I")


async def perform_alone(claim: Claim, report: Report) -> Outcome:
    """As Performer.perform. When the process dies without an outcome, that is the step's own crash."""
    try:
        process = await _start()
    except OSError as error:  # no memory, or too many processes
        return _not_started(claim, str(error))
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(pickle.dumps(claim))
            process.stdin.close()
        started = False
        while (frame := await _read_frame(process.stdout)) is not None:
            if isinstance(frame, Outcome):
                return frame
            started = True
            report(*frame)
        return _death(claim, await process.wait(), started)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "manage.py"),
        "perform_alone",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGKILL),
    )


def _not_started(claim: Claim, why: str) -> Outcome:
    return waits(claim, StepError(f"a process for this step could not start ({why})", code="not_started"), None)


def _death(claim: Claim, code: int, started: bool) -> Outcome:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    if started:
        return crashed(claim, how)
    return _not_started(claim, how)


async def _read_frame(reader: asyncio.StreamReader) -> Any:
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None


def write_frame(output: BinaryIO, frame: Any) -> None:
    data = pickle.dumps(frame)
    output.write(_LENGTH.pack(len(data)) + data)
    output.flush()
