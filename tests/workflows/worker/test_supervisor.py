"""When the supervisor of the worker restarts its children."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from workflows.worker.supervisor import ChildBody, WorkerSupervisor


def sleep(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    time.sleep(30)


def end(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    pass


def fail(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    raise RuntimeError


def test_only_silence_that_the_supervisor_listened_to_counts() -> None:
    """The supervisor may have been frozen, alone or together with its children."""
    supervisor = WorkerSupervisor(grace=1)
    supervisor.add("quiet", sleep, silence=5)
    (child,) = supervisor.children
    supervisor._start(child)
    child.heard_at -= 60
    supervisor.listened_at = child.heard_at  # frozen since then
    supervisor._keep_alive(child)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    supervisor._listen(0.1)
    supervisor._keep_alive(child)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    child.heard_at -= 60
    supervisor._listen(0.1)
    supervisor._keep_alive(child)
    _, status = os.waitpid(child.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_child_for_which_there_is_no_process_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = WorkerSupervisor(grace=1)
    supervisor.add("child", end, silence=5)
    (child,) = supervisor.children

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    descriptors = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        supervisor._keep_alive(child)
    assert (child.pid, len(os.listdir("/proc/self/fd"))) == (0, descriptors)
    child.not_before = 0.0
    supervisor._keep_alive(child)
    assert os.waitpid(child.pid, 0)[0] == child.pid


@pytest.mark.parametrize(("body", "is_started_again"), [(end, True), (fail, False)])
def test_a_child_that_has_ended_well_is_started_again_at_once(body: ChildBody, is_started_again: bool) -> None:
    supervisor = WorkerSupervisor(grace=1)
    supervisor.add("child", body, silence=5)
    (child,) = supervisor.children
    supervisor._start(child)
    first = child.pid
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    supervisor._keep_alive(child)
    assert (child.pid not in (0, first)) == is_started_again
    if child.pid:
        os.waitpid(child.pid, 0)
