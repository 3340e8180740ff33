"""JSON as readable text: a line for every value, with its key, indented by its depth."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text

INDENT = "  "
MAX_INDENT = 40
"""Limit in characters: without it, a file of deeply nested values would become an enormous text."""

LineOrValue = str | tuple[Any, str]
"""A line, or a value of several lines with their indentation."""


class JsonParser:
    formats = ("json",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page. Damaged JSON is read as plain text, with a warning."""
        source = read_text(path)
        warnings: list[str] = []
        try:
            text = "\n".join(_lines(_parse_json_or_lines(source)))
        except ValueError as error:
            text = source
            warnings.append(f"The JSON is damaged or cut off ({error}): it was read as plain text.")
        report(1, 1)
        return ParsedDocument([text], warnings=warnings)


def _parse_json_or_lines(source: str) -> Any:
    """Returns the value, or a list of the values of JSON Lines. Raises ValueError, which names the place."""
    try:
        return _parse_json(source)
    except ValueError:
        lines = [line for line in source.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].lstrip().startswith(("{", "[")):
            raise
        try:
            return [_parse_json(line) for line in lines]
        except ValueError:
            pass
        raise


def _parse_json(source: str) -> Any:
    """Parses JSON. Numbers stay as they are written, however long."""
    return json.loads(source, parse_int=str, parse_float=str)


def _lines(value: Any) -> Iterator[str]:
    """Yields the lines. No recursion: each line would pass through one generator for every level."""
    stack: list[Iterator[LineOrValue]] = [iter([(value, "")])]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, str):
            yield item
        else:
            stack.append(_lines_of(*item))


def _lines_of(value: Any, indent: str) -> Iterator[LineOrValue]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{indent}{key}:", inner, indent)
    elif isinstance(value, list):
        for inner in value:
            yield from _item(inner, indent)
    else:
        yield indent + _scalar(value)


def _entry(head: str, value: Any, indent: str) -> Iterator[LineOrValue]:
    """Yields `key: value`. A value of several lines follows below, indented."""
    if not isinstance(value, dict | list):
        yield f"{head} {_scalar(value)}"
    elif value and isinstance(value, list) and not any(isinstance(inner, dict | list) for inner in value):
        yield f"{head} {', '.join(map(_scalar, value))}"
    else:
        yield head
        yield value, (indent + INDENT)[:MAX_INDENT]


def _item(value: Any, indent: str) -> Iterator[LineOrValue]:
    """Yields a value of a list. Records become paragraphs, so that chunks end between them."""
    if isinstance(value, dict | list):
        yield ""
        yield value, indent
    else:
        yield f"{indent}- {_scalar(value)}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


register(JsonParser())
