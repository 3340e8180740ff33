"""A plain django-q2 task."""

from bench.start_marks import mark


def noop(number: int) -> None:
    mark(number)
