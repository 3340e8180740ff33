"""The engine's functions in the database, as operations of migrations: see README.md."""

import re
from pathlib import Path

from django.db.migrations import RunSQL

_NAME = re.compile(r"^CREATE FUNCTION (\w+)", re.MULTILINE)


def functions(*files: str) -> RunSQL:
    """Makes the functions of these files; backwards, drops those that call others first."""
    sql = "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in files)
    return RunSQL(sql, "".join(f"DROP FUNCTION {name};" for name in reversed(_NAME.findall(sql))))
