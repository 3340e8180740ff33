"""A plain django-q2 task of the chaos run."""

import time


def note(number: int) -> int:
    time.sleep(0.1)
    return number
