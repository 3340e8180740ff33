"""Plain django-q2 tasks."""

import time


def note(number: int) -> int:
    time.sleep(0.1)
    return number
