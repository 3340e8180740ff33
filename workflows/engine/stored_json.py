"""JSON as PostgreSQL stores it."""

import json
import re
from typing import Any

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL, but not an escaped backslash before the text u0000."""


def dump(value: Any) -> str:
    """JSON that PostgreSQL takes: no NaN, and no NUL nor half of a surrogate pair in any text."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1", text)
    return text.encode("utf-8", "replace").decode()
