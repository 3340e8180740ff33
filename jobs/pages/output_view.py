"""A step's output as people read it: prose, a table, a few facts, or JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

MAX_CHARS = 100_000
MAX_ROWS = 100
MAX_COLUMNS = 20
MAX_CELL = 300
TABLES = ("rows", "contacts", "results")

OFFLINE = (
    "Written by the built-in offline model: it extracts and computes from what it was given,"
    " and is not a language model."
)

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
# Whoever wrote the text chose its links and pictures: links say so, and pictures are not fetched.
_TEXT = {"a", "p", "br", "hr", "strong", "em", "code", "pre", "blockquote", "ul", "ol", "li"}
_TAGS = {*_TEXT, "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}


@dataclass
class Shown:
    """What `jobs/_output.html` shows of an output: whatever is not empty."""

    notices: list[str] = field(default_factory=list)
    html: SafeString | None = None
    text: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    more_rows: int = 0
    sources: list[str] = field(default_factory=list)
    json: str = ""


def shown(output: Any) -> Shown:
    if isinstance(output, str):
        return _text(output)
    if isinstance(output, list):
        return _table(output) or _json(output)
    if not isinstance(output, dict):
        return _json(output)
    if isinstance(output.get("text"), str):
        return _prose(output) if "finishReason" in output else _text(output["text"], _scalars(output))
    for name in TABLES:
        if table := _table(output.get(name)):
            table.facts = _scalars(output)
            return table
    facts = _scalars(output)
    return Shown(facts=facts) if len(facts) == len(output) else _json(output)


def _prose(output: Mapping[str, Any]) -> Shown:
    """What a model wrote is Markdown."""
    text, notices = _within(output["text"])
    if output.get("model") == "offline":
        notices.append(OFFLINE)
    notices += [str(warning) for warning in output.get("warnings") or []]
    return Shown(notices=notices, html=markdown(text), sources=_sources(output.get("sources") or []))


def markdown(text: str) -> SafeString:
    html = nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow",
    )
    return mark_safe(html)


def _text(text: str, facts: Sequence[tuple[str, str]] = ()) -> Shown:
    text, notices = _within(text)
    return Shown(notices=notices, text=text, facts=list(facts))


def _table(entries: Any) -> Shown | None:
    """None where the entries are not a table's rows."""
    if not isinstance(entries, list) or not entries:
        return None
    kept = entries[:MAX_ROWS]
    if all(isinstance(entry, dict) for entry in kept):
        flat = [_flat(entry) for entry in kept]
        columns = list(dict.fromkeys(key for entry in flat for key in entry))[:MAX_COLUMNS]
        rows = [[_cell(entry.get(column)) for column in columns] for entry in flat]
    elif all(isinstance(entry, list) for entry in kept):
        columns = [_cell(cell) for cell in kept[0][:MAX_COLUMNS]]
        rows = [[_cell(cell) for cell in entry[:MAX_COLUMNS]] for entry in kept[1:]]
    else:
        return None
    return Shown(columns=columns, rows=rows, more_rows=len(entries) - len(kept))


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A contact's properties stand beside its id."""
    inner = entry.get("properties")
    if not isinstance(inner, dict):
        return dict(entry)
    return {key: value for key, value in entry.items() if key != "properties"} | inner


def _scalars(output: Mapping[str, Any]) -> list[tuple[str, str]]:
    plain = ((key, value) for key, value in output.items() if key != "text" and not isinstance(value, dict | list))
    return [(key, _cell(value)) for key, value in plain]


def _sources(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    named = (
        f"{source.get('filename')}" + (f", page {page}" if (page := source.get("page")) else "") for source in sources
    )
    return list(dict.fromkeys(named))[:50]


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + "…"


def _json(output: Any) -> Shown:
    text, notices = _within(pretty(output))
    return Shown(notices=notices, json=text)


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _within(text: str) -> tuple[str, list[str]]:
    if len(text) <= MAX_CHARS:
        return text, []
    return text[:MAX_CHARS], [f"Only the first {MAX_CHARS:,} of {len(text):,} characters are shown; the API has all."]
