"""The sections of bench/DOCUMENTS.md. Each script replaces its own sections only."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

REPORT = Path(__file__).parent.parent / "DOCUMENTS.md"
HEAD = """# Documents, measured

Written by `make bench-documents`; each figure replaces its own section.
"""


def write(name: str, title: str, lines: list[str]) -> None:
    """Replaces the section with this name, or adds it at the end."""
    old = REPORT.read_text(encoding="utf-8") if REPORT.exists() else HEAD
    text = "\n".join([f"<!-- {name} -->", f"## {title}", "", *lines, f"<!-- end of {name} -->", ""])
    pattern = re.compile(rf"<!-- {name} -->.*?<!-- end of {name} -->\n", re.DOTALL)
    new = pattern.sub(lambda match: text, old) if pattern.search(old) else f"{old.rstrip()}\n\n{text}"
    REPORT.write_text(new, encoding="utf-8")
    print("\n".join(lines))


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]] + [""]


def circumstances() -> str:
    """When and on what machine the run was, and the load average at its end."""
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Measured {at} on {cores} cores ({platform.machine()}), load {load:.1f} at the end."
