"""Plain django-q2 tasks."""

import os
import time
from pathlib import Path


def slow(ledger: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"plain {os.getpid()}\n")
    time.sleep(60)


def note(ledger: str, word: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"plain {word}\n")


hooked: list[object] = []


def hook(task: object) -> None:
    hooked.append(task)
