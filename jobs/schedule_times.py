"""When a schedule is due: a cron expression in a time zone, or an interval.

A cron time that the clocks skip in spring comes as soon as they have been put forward. One that they repeat in autumn
comes once, but an expression for every hour or more often comes in both hours.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

CRON_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Either `cron` or `every_seconds` is set."""

    cron: str
    every_seconds: int | None
    timezone: str

    def next_after(self, at: datetime, due: datetime) -> datetime:
        """Returns the first time after `at`. An interval counts from `due`, so that it does not drift."""
        if self.every_seconds is None:
            return next(CronSim(self.cron, at.astimezone(ZoneInfo(self.timezone)))).astimezone(UTC)
        every = timedelta(seconds=self.every_seconds)
        return due + every * max(1, (at - due) // every + 1)

    def from_time(self, first: datetime, count: int) -> list[datetime]:
        """Returns `count` times, beginning with `first`, which is one of them."""
        times = [first]
        while len(times) < count:
            times.append(self.next_after(times[-1], times[-1]))
        return times


def cron_problem(cron: str) -> str:
    """Returns what is wrong with a cron expression. Empty if it has times."""
    if len(cron.split()) != CRON_FIELDS:
        return "Write five fields: minute, hour, day of the month, month, day of the week, such as 0 9 * * mon-fri."
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        return f"This is not a cron expression: {error}. An example is 0 9 * * mon-fri: at 9:00 from Monday to Friday."
    except StopIteration:
        return "This cron expression has no time in the next 50 years."
    return ""
