"""When schedules are due, around the days on which clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs.schedule_times import Timing, cron_problem

BERLIN = ZoneInfo("Europe/Berlin")


def times(cron: str, first: datetime, count: int, zone: str = "Europe/Berlin") -> list[str]:
    """The times after `first`, on the clocks of Berlin and in UTC."""
    timing = Timing(cron, None, zone)
    found = timing.from_time(timing.next_after(first, first), count)
    assert all(each.tzinfo is UTC for each in found)
    return [f"{each.astimezone(BERLIN):%d %H:%M} {each:%H:%M}" for each in found]


def test_a_time_that_the_clocks_skip_comes_after_the_gap() -> None:
    """On 29 March 2026, 02:00 is followed by 03:00."""
    found = times("30 2 * * *", datetime(2026, 3, 27, 12, tzinfo=BERLIN), 4)
    assert found == ["28 02:30 01:30", "29 03:00 01:00", "30 02:30 00:30", "31 02:30 00:30"]


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    """On 25 October 2026, 03:00 is followed by 02:00."""
    found = times("30 2 * * *", datetime(2026, 10, 24, 1, tzinfo=BERLIN), 3)
    assert found == ["24 02:30 00:30", "25 02:30 00:30", "26 02:30 01:30"]


def test_a_daily_time_keeps_to_the_clocks_on_the_wall() -> None:
    spring = times("0 9 * * *", datetime(2026, 3, 28, 1, tzinfo=BERLIN), 2)
    assert spring == ["28 09:00 08:00", "29 09:00 07:00"]
    autumn = times("0 9 * * *", datetime(2026, 10, 24, 1, tzinfo=BERLIN), 2)
    assert autumn == ["24 09:00 07:00", "25 09:00 08:00"]
    assert times("0 9 * * *", datetime(2026, 3, 28, 1, tzinfo=UTC), 2, "UTC") == ["28 10:00 09:00", "29 11:00 09:00"]


def test_every_hour_is_every_hour_on_both_days() -> None:
    spring = times("0 * * * *", datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN), 3)
    assert spring == ["29 01:00 00:00", "29 03:00 01:00", "29 04:00 02:00"]
    autumn = times("*/30 * * * *", datetime(2026, 10, 25, 1, 45, tzinfo=BERLIN), 6)
    assert autumn == [
        "25 02:00 00:00",
        "25 02:30 00:30",
        "25 02:00 01:00",
        "25 02:30 01:30",
        "25 03:00 02:00",
        "25 03:30 02:30",
    ]


def test_an_interval_counts_from_the_due_time() -> None:
    timing = Timing("", 3600, "Europe/Berlin")
    due = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert timing.next_after(due, due) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert timing.next_after(datetime(2026, 10, 25, 3, 30, 5, tzinfo=UTC), due) == datetime(
        2026, 10, 25, 4, 30, tzinfo=UTC
    )
    assert [each.hour for each in timing.from_time(due, 5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cron", ["0 9 * * mon-fri", "*/5 * * * *", "0 0 29 2 *", "0 0 L * *", "0 12 * JAN 1#2"])
def test_good_expressions(cron: str) -> None:
    assert cron_problem(cron) == ""


@pytest.mark.parametrize("cron", ["", "9", "0 9 * *", "0 0 9 * * *", "60 * * * *", "0 0 30 2 *", "0 9 * * mon-fun"])
def test_bad_expressions(cron: str) -> None:
    assert "0 9 * * mon-fri" in cron_problem(cron)
