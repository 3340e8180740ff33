"""Events sealed and counted at once: in the application, maintenance does it."""

from collections.abc import Callable

import pytest

from tests.support.audit import seal_all
from workflows.models import Worker
from workflows.monitoring.counters import count_sealed_events


@pytest.fixture
def count_events() -> Callable[[], int]:
    def count() -> int:
        seal_all()
        return count_sealed_events()

    return count


@pytest.fixture
def a_worker(db: None) -> Worker:
    sizes = {"async": 3, "thread": 2, "process": 1, "alone": 1}
    return Worker.objects.create(kind="runner", host="here", pid=1, slots=7, sizes=sizes)
