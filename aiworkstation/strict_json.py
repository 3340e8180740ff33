"""The one reader of JSON that comes from outside: bodies, callbacks, answers of other servers, what models write.

It accepts what RFC 8259 calls JSON, and no more: no NaN, no infinity, no number that a float cannot hold. What it
returns is at most MAX_DEPTH levels deep, so that everything behind it may use recursion.
"""

import json
import math
import re
from typing import Any

MAX_DEPTH = 100
MAX_COUNTED = 100_000
"""How many levels are counted for the message. Counting millions of them would take seconds."""
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


class BadJson(ValueError):
    """The text is not JSON, or is nested too deeply. The message says where or how deeply."""


def loads(text: str | bytes) -> Any:
    """Raises BadJson."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError:
        raise _too_deep(_depth_of_text(text)) from None
    except ValueError as error:
        raise BadJson(str(error)) from error
    if (depth := depth_of(value)) > MAX_DEPTH:
        raise _too_deep(depth)
    return value


def depth_of(value: Any) -> int:
    """How many arrays and objects lie in one another. Cheap for flat values, whatever their size."""
    depth = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        inner = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in inner if isinstance(item, dict | list)]
    return depth


def _too_deep(depth: int) -> BadJson:
    counted = f"{depth} levels" if depth <= MAX_COUNTED else f"more than {MAX_COUNTED:,} levels"
    return BadJson(f"It is nested {counted} deep. At most {MAX_DEPTH} are allowed.")


def _depth_of_text(text: str | bytes) -> int:
    """The depth of JSON that the parser itself cannot follow."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "replace")
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        deepest = max(deepest, depth)
        if deepest > MAX_COUNTED:
            break
    return deepest


def _refuse_constant(name: str) -> float:
    raise BadJson(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJson(f"{text[:40]} is too large a number")
    return number
