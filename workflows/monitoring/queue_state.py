"""The number and the age of due jobs, read from the index `execution_due`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from workflows.engine.query import rows_of
from workflows.models import Queue
from workflows.tools import Slot

MAX_COUNTED = 20_000
"""How many due and delayed jobs a scrape counts. If there are more, the depth is this number."""

# A job's place in its queue, in the order of the index: see `execution_due` in models.py.
_PLACE = """(CASE WHEN queue = 'high' THEN 0 WHEN queue = 'normal' THEN 2 ELSE 4 END
  + CASE WHEN steps_running > 0 THEN 1 ELSE 0 END)"""
# One probe of the index for each slot and place: the oldest row there.
_OLDEST = f"""
SELECT slot, place, oldest.age FROM unnest(%(slots)s::text[]) slot, generate_series(0, 5) place, LATERAL (
  SELECT statement_timestamp() - wake_at AS age FROM workflow_executions
  WHERE wake_at IS NOT NULL AND next_slot = slot AND {_PLACE} = place AND wake_at <= statement_timestamp()
  ORDER BY wake_at LIMIT 1
) oldest
"""
_COUNTS = """
SELECT queue, count(*) FILTER (WHERE wake_at <= statement_timestamp()),
  count(*) FILTER (WHERE wake_at > statement_timestamp())
FROM (SELECT queue, wake_at FROM workflow_executions WHERE wake_at IS NOT NULL LIMIT %(most)s) waiting GROUP BY queue
"""


@dataclass(slots=True)
class QueueState:
    due: int = 0
    delayed: int = 0
    oldest_due: timedelta = timedelta()


def oldest_due_by_slot() -> dict[str, timedelta]:
    """The age of the oldest due job of each kind of slot that has one."""
    found: dict[str, timedelta] = {}
    for slot, _, age in rows_of(_OLDEST, slots=list(get_args(Slot))):
        found[slot] = max(found.get(slot, timedelta()), age)
    return found


def queue_states() -> dict[str, QueueState]:
    """Every queue, even if it has no jobs."""
    found = {queue: QueueState() for queue in Queue.values}
    for _, place, age in rows_of(_OLDEST, slots=list(get_args(Slot))):
        state = found[Queue.values[place // 2]]
        state.oldest_due = max(state.oldest_due, age)
    for queue, due, delayed in rows_of(_COUNTS, most=MAX_COUNTED):
        found[queue].due, found[queue].delayed = due, delayed
    return found
