"""The quota of what a user stores: USER_QUOTA_MB for uploaded files, their indexed texts, and large JSON of jobs.

Each app counts its part: `settings.STORED_BYTES` has their statements. Who stores something calls `check` in the
transaction that stores it. The lock on the owner's row, which `check` takes, lets only one such transaction at a time
look for room, so two that begin together cannot both take the last of it.
"""

import time

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

MEGABYTE = 1 << 20
ROUGHLY_SECONDS = 2.0
ROUGHLY_FREE = 0.9
"""Below this share of the quota, a sum of the last seconds suffices to start a job."""
MAX_REMEMBERED = 10_000


class OverQuota(Exception):
    """The user has no room left. The message names the quota and the remedy."""

    code = "over_quota"


def lock(owner_id: int) -> None:
    """Locks the owner's row. `no_key` still lets others insert rows with a foreign key to it."""
    User.objects.select_for_update(no_key=True).filter(pk=owner_id).first()


def used(owner_id: int) -> int:
    """Returns how many bytes the owner stores."""
    parts = " + ".join(f"coalesce(({statement}), 0)" for statement in settings.STORED_BYTES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({parts})::bigint", {"owner": owner_id})
        (found,) = cursor.fetchone()
    return int(found)


def check(owner_id: int, size: int) -> None:
    """Raises OverQuota if `size` more bytes have no room. Call it in the transaction that stores them."""
    lock(owner_id)
    check_locked(owner_id, size)


def check_locked(owner_id: int, size: int = 0) -> None:
    """Does the same after `lock`, in the same transaction. What the transaction stored before is counted already."""
    _raise_if_over(used(owner_id), size)


_remembered: dict[int, tuple[int, float]] = {}


def check_start(owner_id: int) -> None:
    """Raises OverQuota if nothing is left for the results of a new job. It takes no lock, and often no query."""
    known, read_at = _remembered.get(owner_id, (0, float("-inf")))
    is_fresh = time.monotonic() - read_at < ROUGHLY_SECONDS
    if is_fresh and known < ROUGHLY_FREE * settings.CONFIG.user_quota_mb * MEGABYTE:
        return
    if len(_remembered) >= MAX_REMEMBERED:
        _remembered.clear()
    found = used(owner_id)
    _remembered[owner_id] = found, time.monotonic()
    _raise_if_over(found, 1)


def _raise_if_over(used: int, size: int) -> None:
    quota = settings.CONFIG.user_quota_mb
    if used + size > quota * MEGABYTE:
        raise OverQuota(
            f"Your documents, their texts and the results of your jobs take {used / MEGABYTE:.1f} of {quota} MB, and"
            f" {size / MEGABYTE:.1f} MB more have no room: delete documents or finished jobs that are no longer needed."
        )
