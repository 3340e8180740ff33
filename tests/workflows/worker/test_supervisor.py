"""How the supervisor judges its children."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from workflows.worker.supervisor import Body, Supervisor


def sleep(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    time.sleep(30)


def end(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    pass


def fail(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    raise RuntimeError


def test_only_silence_that_the_supervisor_listened_to_counts() -> None:
    """It may have been frozen, alone or with its children."""
    boss = Supervisor(grace=1)
    boss.add("quiet", sleep, silence=5)
    (child,) = boss.children
    boss._start(child)
    child.heard -= 60
    boss.looked = child.heard  # frozen since then
    boss._keep_alive(child)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    boss._listen(0.1)
    boss._keep_alive(child)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)
    child.heard -= 60
    boss._listen(0.1)
    boss._keep_alive(child)
    _, status = os.waitpid(child.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(("body", "is_started_again"), [(end, True), (fail, False)])
def test_a_child_that_has_ended_well_is_started_again_at_once(body: Body, is_started_again: bool) -> None:
    boss = Supervisor(grace=1)
    boss.add("child", body, silence=5)
    (child,) = boss.children
    boss._start(child)
    first = child.pid
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    boss._keep_alive(child)
    assert (child.pid not in (0, first)) == is_started_again
    if child.pid:
        os.waitpid(child.pid, 0)
