"""The output of a command whose reader ends early, such as `manage.py run_workflow job.json | head`."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

READER_IS_GONE = 128 + 13  # what a shell reports for SIGPIPE


@contextmanager
def quiet_when_reader_is_gone() -> Iterator[None]:
    """Ends the process with exit code 141, without a traceback, when nobody reads its output any more."""
    try:
        try:
            yield
        finally:
            # Here, because an error in Python's own flush at the exit cannot be caught.
            sys.stdout.flush()
    except BrokenPipeError:
        gone = [stream for stream in (sys.stdout, sys.stderr) if _reader_is_gone(stream.fileno())]
        if not gone:
            raise  # another pipe
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in gone:
            os.dup2(nothing, stream.fileno())
        sys.exit(READER_IS_GONE)


def _reader_is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are reported always
    return any(events & select.POLLERR for _, events in poll.poll(0))
