"""How the supervisor judges its children."""

import os
import signal
import time
from collections.abc import Callable

from workflows.queue.supervisor import Supervisor


def sleep(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    time.sleep(30)


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
