"""When a runner looks for work."""

import time

import pytest

from workflows.engine.turn import SCAN_OVERLAP
from workflows.worker.capacity import FULL_SCAN_EVERY, Capacity, SlotSizes


def test_a_look_that_finds_nothing_is_the_last() -> None:
    capacity = Capacity(SlotSizes())
    demands = capacity.demands([])
    capacity.note_found(demands, [0] * len(demands))
    assert not capacity.can_claim


def test_a_look_that_finds_something_is_followed_by_another() -> None:
    capacity = Capacity(SlotSizes())
    demands = capacity.demands([])
    capacity.note_found(demands, [1] * len(demands))
    assert capacity.can_claim


def test_a_notification_during_the_look_asks_for_another() -> None:
    """The announced work may have come too late for the look in progress."""
    capacity = Capacity(SlotSizes())
    demands = capacity.demands([])
    capacity.wake("thread")
    capacity.note_found(demands, [0] * len(demands))
    assert list(capacity.demands([])) == ["thread"]


def test_a_payload_of_another_release_wakes_all() -> None:
    capacity = Capacity(SlotSizes())
    demands = capacity.demands([])
    capacity.note_found(demands, [0] * len(demands))
    capacity.wake("normal")
    assert list(capacity.demands([])) == ["async", "thread", "process", "alone"]


def test_looks_begin_where_the_last_one_that_took_everything_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    capacity = Capacity(SlotSizes(coroutines=2))

    def look(found: int) -> float | None:
        capacity.wake("async")
        demands = capacity.demands([])
        capacity.note_found(demands, [found] + [0] * (len(demands) - 1))
        return demands["async"].since

    assert look(found=1) is None
    now += 0.5
    assert look(found=2) == 0.5 + SCAN_OVERLAP
    now += 0.5
    assert look(found=0) == 1.0 + SCAN_OVERLAP, "the last one may have left something"
    now += FULL_SCAN_EVERY
    assert look(found=0) is None, "the whole queue, once in a while"
    capacity.wake("")
    assert capacity.demands([])["async"].since is None, "after a pause, or a lost connection"
