"""When a process looks for messages."""

import time

import pytest

from workflows.slots import OVERLAP, WHOLE_EVERY, Sizes, Slots


def test_a_look_that_finds_nothing_is_the_last() -> None:
    slots = Slots(Sizes())
    wanted = slots.wanted([])
    slots.learn(wanted, [0] * len(wanted))
    assert not slots.may_pick


def test_a_look_that_finds_something_is_not() -> None:
    slots = Slots(Sizes())
    wanted = slots.wanted([])
    slots.learn(wanted, [1] * len(wanted))
    assert slots.may_pick


def test_a_notification_during_the_look_asks_for_another() -> None:
    """The message that it tells of may have come too late for the look."""
    slots = Slots(Sizes())
    wanted = slots.wanted([])
    slots.wake("thread")
    slots.learn(wanted, [0] * len(wanted))
    assert list(slots.wanted([])) == ["thread"]


def test_a_payload_of_another_release_wakes_all() -> None:
    slots = Slots(Sizes())
    wanted = slots.wanted([])
    slots.learn(wanted, [0] * len(wanted))
    slots.wake("normal")
    assert list(slots.wanted([])) == ["async", "thread", "process", "alone"]


def test_looks_begin_where_the_last_one_that_took_everything_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    slots = Slots(Sizes(coroutines=2))

    def look(found: int) -> float | None:
        slots.wake("async")
        wanted = slots.wanted([])
        slots.learn(wanted, [found] + [0] * (len(wanted) - 1))
        return wanted["async"].since

    assert look(found=1) is None
    now += 0.5
    assert look(found=2) == 0.5 + OVERLAP
    now += 0.5
    assert look(found=0) == 1.0 + OVERLAP, "the last one may have left something"
    now += WHOLE_EVERY
    assert look(found=0) is None, "the whole queue, once in a while"
    slots.wake("")
    assert slots.wanted([])["async"].since is None, "after a pause, or a lost connection"
