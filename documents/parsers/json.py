"""JSON as people read it: a line for every value, with its key, indented by its place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text

INDENT = "  "
MAX_INDENT = 40
"""Characters: more would make a long text of a file that is nested for the purpose."""

Part = str | tuple[Any, str]
"""A line, or a value that makes several and their indentation."""


class JsonParser:
    formats = ("json",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page. What is no JSON after all is read as it stands, with a warning."""
        source = read_text(path)
        warnings: list[str] = []
        try:
            text = "\n".join(_lines(_value(source)))
        except ValueError as error:
            text = source
            warnings.append(f"The JSON is damaged or cut off ({error}): it was read as plain text.")
        report(1, 1)
        return ParsedDocument([text], warnings=warnings)


def _value(source: str) -> Any:
    """A value, or one on each line (JSON Lines). Raises ValueError, which says where it is wrong."""
    try:
        return _loaded(source)
    except ValueError:
        lines = [line for line in source.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].lstrip().startswith(("{", "[")):
            raise
        try:
            return [_loaded(line) for line in lines]
        except ValueError:
            pass
        raise


def _loaded(source: str) -> Any:
    """Numbers as they stand there, however long."""
    return json.loads(source, parse_int=str, parse_float=str)


def _lines(value: Any) -> Iterator[str]:
    """No recursion: a line would pass through all that it is nested in."""
    stack: list[Iterator[Part]] = [iter([(value, "")])]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, str):
            yield item
        else:
            stack.append(_parts(*item))


def _parts(value: Any, indent: str) -> Iterator[Part]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{indent}{key}:", inner, indent)
    elif isinstance(value, list):
        for inner in value:
            yield from _item(inner, indent)
    else:
        yield indent + _scalar(value)


def _entry(head: str, value: Any, indent: str) -> Iterator[Part]:
    """`key: value`; what is inside a value of several lines stands below it, further in."""
    if not isinstance(value, dict | list):
        yield f"{head} {_scalar(value)}"
    elif value and isinstance(value, list) and not any(isinstance(inner, dict | list) for inner in value):
        yield f"{head} {', '.join(map(_scalar, value))}"
    else:
        yield head
        yield value, (indent + INDENT)[:MAX_INDENT]


def _item(value: Any, indent: str) -> Iterator[Part]:
    """A value of a list. Records are paragraphs, so that a chunk holds whole ones."""
    if isinstance(value, dict | list):
        yield ""
        yield value, indent
    else:
        yield f"{indent}- {_scalar(value)}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


register(JsonParser())
