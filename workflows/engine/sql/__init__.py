"""The engine's functions in the database: one file for each, in its current version. See README.md."""

import re
from pathlib import Path

from django.db.migrations import RunSQL

_CREATED = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)


def functions(frozen: Path, before: Path | None = None) -> RunSQL:
    """The migration that makes the functions of a frozen copy. Reversed, it makes those of the copy `before` again."""
    made = frozen.read_text(encoding="utf-8")
    dropped = "".join(f"DROP FUNCTION {name};" for name in _CREATED.findall(made))
    return RunSQL(made, before.read_text(encoding="utf-8") if before else dropped)
