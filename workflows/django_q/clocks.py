"""Clocks: rows of django-q2's `Schedule` that call a function when it next has something to do.

The caller knows the times, which django-q2 cannot compute: its cron has no time zones. After a clock has gone off, it
goes off again every minute until it is set again, so a lost call is repeated.
"""

from datetime import datetime

from django_q.models import Schedule


def set_clock(name: str, function: str, argument: str, at: datetime) -> None:
    """`name` is unique. `function` must be one of SCHEDULED_FUNCTIONS."""
    Schedule.objects.update_or_create(
        name=name,
        defaults={
            "func": function,
            "args": repr((argument,)),
            "kwargs": repr({"q_options": {"save": False}}),
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
            "next_run": at,
        },
    )


def stop_clock(name: str) -> None:
    Schedule.objects.filter(name=name).delete()
