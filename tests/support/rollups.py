"""Roll-ups in tests."""

import time

from django.utils import timezone

from workflows.engine.rollups import count_ended_jobs
from workflows.models import RollupMark


def count_all() -> None:
    """Counts what has ended. It waits for the transactions of other tests, in other databases of the server."""
    now, deadline = timezone.now(), time.monotonic() + 600
    while True:
        has_more = count_ended_jobs()
        if not has_more and RollupMark.objects.get().counted_to >= now:
            return
        assert time.monotonic() < deadline
        time.sleep(0 if has_more else 0.01)
