"""The messages in django-q2's queue: each names an execution and nothing else."""

from uuid import UUID, uuid4

from django.utils import timezone
from django_q.signing import SignedPackage

FUNCTION = "workflows.queue.tasks.run_execution"


def message_for(execution: UUID) -> str:
    """A signed package as `async_task` makes it, so that a stock `qcluster` can run it too."""
    package = {
        "id": uuid4().hex,
        "name": f"execution {execution}",
        "func": FUNCTION,
        "args": (str(execution),),
        "kwargs": {},
        "save": False,
        "ack_failure": True,
        "started": timezone.now(),
    }
    return str(SignedPackage.dumps(package))
