"""What becomes of plain tasks' results."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.monitor import save_task
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from workflows.queue.tasks import Results, Taken

pytestmark = pytest.mark.django_db(transaction=True)


def done(result: object) -> tuple[Taken, dict[str, Any]]:
    """A task that has just ended, with its message still there."""
    async_task("math.floor", 1.5)
    message = OrmQ.objects.get()
    taken = Taken()
    taken.take(message.pk, message.lock)
    task: dict[str, Any] = SignedPackage.loads(message.payload)
    return taken, task | {"cluster": "normal", "result": result, "success": True, "stopped": timezone.now()}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_result_is_offered_again_after_a_cut(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    taken, task = done(1)
    cuts = [0]

    def unlucky(task: dict[str, Any], broker: Any) -> None:
        if moment == "after":
            save_task(task, broker)
        if not cuts[0]:
            cuts[0] = 1
            with pytest.raises(OperationalError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        if moment == "before":
            save_task(task, broker)

    monkeypatch.setattr("workflows.queue.tasks.save_task", unlucky)
    Results(taken).put(task)
    assert Task.objects.get().result == 1
    assert not OrmQ.objects.exists()
    assert taken.receipt is None


def test_a_result_that_cannot_be_stored_does_not_come_back() -> None:
    taken, task = done(1)
    task["name"] = "x" * 1000
    Results(taken).put(task)
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()
