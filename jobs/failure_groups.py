"""Failed steps in groups: those with the same tool or model, code, and pattern of the message.

A step that was retried is no failure any more, so a group is what is still to be looked at.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from aiworkstation.access.models import sees_only
from jobs.failure_patterns import MAX_MESSAGE, MODEL_STEP, pattern_of
from jobs.models import FailureMute
from workflows.engine.query import rows_of

NEWEST = 5000
"""How many failed steps of the period are grouped, newest first."""
SLOTS = 24
"""The bars of a sparkline."""
DAY = timedelta(days=1)
GROWTH = 2
"""A muted group is shown again when it fails this many times as often as when it was muted."""

# The limit comes first: the cost depends on it, not on how many steps have failed.
_FAILED = """
SELECT failed, code, message, slot, count(*), min(finished_at), max(finished_at),
  count(*) FILTER (WHERE finished_at >= %(day)s)
FROM (
  SELECT CASE WHEN s.tool <> '' THEN s.tool WHEN s.model <> '' THEN s.model ELSE %(model_step)s END AS failed,
    coalesce(s.error->>'code', '') AS code, left(coalesce(s.error->>'message', ''), %(most)s) AS message,
    floor(extract(epoch FROM s.finished_at - %(since)s) / %(width)s)::int AS slot, s.finished_at
  FROM workflow_steps s JOIN workflow_executions e ON e.id = s.execution_id
  WHERE s.status = 'failed' AND s.finished_at >= %(since)s AND (%(owner)s::int IS NULL OR e.owner_id = %(owner)s)
  ORDER BY s.finished_at DESC LIMIT %(newest)s
) failures GROUP BY 1, 2, 3, 4
"""


@dataclass
class FailureGroup:
    """`slots` are the numbers of failures in equal parts of the period, oldest first."""

    failed: str
    code: str
    pattern: str
    first: datetime
    last: datetime
    number: int = 0
    last_day: int = 0
    slots: list[int] = field(default_factory=lambda: [0] * SLOTS)
    mute: FailureMute | None = None

    @property
    def key(self) -> str:
        return key_of(self.failed, self.code, self.pattern)

    @property
    def is_muted(self) -> bool:
        """A mute ends when the group fails twice as often as then. Another code or pattern is another group."""
        return self.mute is not None and self.last_day <= GROWTH * max(self.mute.per_day, 1)

    @property
    def bars(self) -> list[tuple[int, float, float]]:
        """The left edge, the top and the height of each bar of the sparkline, which is 20 high."""
        highest = max(self.slots) or 1
        heights = [(20 * number / highest) if number else 0.0 for number in self.slots]
        return [(4 * place, round(20 - height, 1), round(height, 1)) for place, height in enumerate(heights)]


def key_of(failed: str, code: str, pattern: str) -> str:
    return hashlib.sha256(json.dumps([failed, code, pattern]).encode()).hexdigest()[:32]


def failure_groups(user: User, hours: int) -> list[FailureGroup]:
    """The groups of the last hours that the user may see, those with the most failures first."""
    now = timezone.now()
    rows = rows_of(
        _FAILED,
        owner=sees_only(user), since=now - timedelta(hours=hours), day=now - DAY, width=hours * 3600 / SLOTS,
        newest=NEWEST, most=MAX_MESSAGE + 1, model_step=MODEL_STEP,
    )  # fmt: skip
    groups: dict[tuple[str, str, str], FailureGroup] = {}
    for failed, code, message, slot, number, first, last, last_day in rows:
        key = failed, code, pattern_of(message)
        group = groups.setdefault(key, FailureGroup(*key, first, last))
        group.number += number
        group.last_day += last_day
        group.first, group.last = min(group.first, first), max(group.last, last)
        group.slots[min(max(slot, 0), SLOTS - 1)] += number
    _set_mutes(user, list(groups.values()))
    return sorted(groups.values(), key=lambda group: (-group.number, group.failed, group.code, group.pattern))


def _set_mutes(user: User, groups: Sequence[FailureGroup]) -> None:
    mutes = {mute.key: mute for mute in FailureMute.objects.filter(user=user)}
    for group in groups:
        group.mute = mutes.get(group.key)


def mute(user: User, group: FailureGroup, note: str) -> None:
    """Hides the group from this user until it changes."""
    FailureMute.objects.update_or_create(
        user=user, key=group.key, defaults={"note": note, "per_day": group.last_day, "muted_at": timezone.now()}
    )


def unmute(user: User, key: str) -> bool:
    return bool(FailureMute.objects.filter(user=user, key=key).delete()[0])
