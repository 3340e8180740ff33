"""The messages in django-q2's queue: each names an execution and nothing else."""

from functools import lru_cache
from uuid import UUID, uuid4

from django.utils import timezone
from django_q.signing import SignedPackage

FUNCTION = "workflows.queue.tasks.run_execution"

# The function's name stands first in the package, so its base64 is at the same place in each: that tells these messages
# from those of plain tasks, whose index leaves them out (migration 0012 has the same words).
MARK = "lCiMBGZ1bmOUjCN3b3JrZmxvd3MucXVldWUudGFza3MucnVuX2V4ZWN1dGlv"
IS_PLAIN = f"substr(payload, 17, 60) <> '{MARK}'"


@lru_cache(4096)
def message_for(execution: UUID) -> str:
    """A signed package as `async_task` makes it, so that a stock `qcluster` can run it too.

    Signing costs more than a turn of the engine; the same text serves every message of an execution.
    """
    package = {
        "func": FUNCTION,
        "id": uuid4().hex,
        "name": f"execution {execution}",
        "args": (str(execution),),
        "kwargs": {},
        "save": False,
        "ack_failure": True,
        "started": timezone.now(),
    }
    return str(SignedPackage.dumps(package))
