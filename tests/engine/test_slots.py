"""When a process looks for messages."""

from workflows.slots import Sizes, Slots


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
    assert list(slots.wanted([])) == ["async", "thread", "process"]
