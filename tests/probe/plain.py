"""Plain django-q2 tasks."""

import time
from pathlib import Path


def slow(ledger: str) -> None:
    with Path(ledger).open("a") as file:
        file.write("plain slow\n")
    time.sleep(60)
