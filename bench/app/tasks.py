"""A plain django-q2 task."""

from bench.marks import mark


def noop(number: int) -> None:
    mark(number)
