"""JSON of bodies and of form fields, without text that PostgreSQL cannot store."""

import re
from collections.abc import Iterator
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError

from aiworkstation import strict_json

Path = tuple[str | int, ...]
UNSTORABLE = "NUL or half of a surrogate pair, which cannot be stored"
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]|\x00")
"""An escaped NUL or half of a pair, and the same in encodings other than UTF-8, in which every byte may be a NUL."""


class JSONParser(parsers.JSONParser):
    """Accepts strict JSON, without text that PostgreSQL refuses (NUL, half a surrogate pair)."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        raw = stream.read()
        try:
            body = strict_json.loads(raw)
        except strict_json.BadJson as error:
            raise ParseError(f"JSON parse error - {error}") from error
        if (path := _unstorable_path(raw, body)) is not None:
            detail = ErrorDetail(f"Contains {UNSTORABLE}.", "invalid")
            raise ValidationError(_nested(path, detail))
        return body


def loads_storable(text: str) -> Any:
    """Reads the JSON of a form's field. Raises BadJson, also for what PostgreSQL cannot store."""
    value = strict_json.loads(text)
    if _unstorable_path(text.encode(errors="surrogatepass"), value) is not None:
        raise strict_json.BadJson(f"It contains {UNSTORABLE}.")
    return value


def _unstorable_path(raw: bytes, value: Any) -> Path | None:
    # Strict JSON can have such a character only as an escape, so most values need no walk through their texts.
    if not _UNSTORABLE.search(raw):
        return None
    return next((path for path, text in _texts(value) if not _storable(text)), None)


def _texts(body: Any) -> Iterator[tuple[Path, str]]:
    """Yields every string in the body, keys included, with its path."""
    stack: list[tuple[Path, Any]] = [((), body)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield path, key
                stack.append(((*path, key), item))
        elif isinstance(value, list):
            stack.extend(((*path, index), item) for index, item in enumerate(value))


def _storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _nested(path: Path, detail: ErrorDetail) -> Any:
    """`("payload", "name")` → `{"payload": {"name": [detail]}}`."""
    found: Any = [detail]
    # From the innermost key outwards.
    for part in reversed(path):
        found = {str(part): found}
    return found
