"""Warns about names in `.env` that are no settings, most often because they are misspelt.

Only the file is read: variables of the environment may belong to other programs.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from aiworkstation.ops.config import Config

SECRET_PREFIX = "SECRET_"  # secrets of steps: any name may follow  # noqa: S105 - the prefix of a name
SIMILAR = 0.75


def warnings(path: Path) -> Iterator[str]:
    """Yields a line for each misspelt name, and one line for all others that nothing reads."""
    if not path.is_file():
        return
    given = {name.upper(): name for name in dotenv_values(path, interpolate=False)}
    settings = [name.upper() for name in Config.model_fields]
    missing = [name for name in settings if name not in given]
    others = []
    for upper, name in given.items():
        if upper in settings or (upper.startswith(SECRET_PREFIX) and not _is_misspelt_key(upper, missing)):
            continue
        nearest = get_close_matches(upper, missing, 1, SIMILAR)
        if nearest:
            yield f"{path}: {name} is not a setting. Did you mean {nearest[0]}?"
        else:
            others.append(name)
    if others:
        yield f"{path}: {', '.join(others)}: not settings of this application, so nothing reads them from this file."


def _is_misspelt_key(name: str, missing: list[str]) -> bool:
    return "SECRET_KEY" in missing and bool(get_close_matches(name, ["SECRET_KEY"], 1, 0.9))
