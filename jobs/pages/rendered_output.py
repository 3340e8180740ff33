"""A step's output as a page shows it: prose, a table, a few facts, or JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from jobs.large_json import LargeJson

MAX_CHARS = 100_000
MAX_ROWS = 100
MAX_COLUMNS = 20
MAX_CELL = 300
TABLES = ("rows", "contacts", "results")

OFFLINE_NOTICE = (
    "The built-in offline model wrote this. It is not a language model:"
    " it extracts sentences and computes figures from its input."
)

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
# The text is not trusted: its links carry rel="noopener nofollow", and its pictures are left out, not fetched.
_TEXT = {"a", "p", "br", "hr", "strong", "em", "code", "pre", "blockquote", "ul", "ol", "li"}
_TAGS = {*_TEXT, "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}


@dataclass
class RenderedOutput:
    """The parts of an output that `jobs/_output.html` shows. Empty parts are left out."""

    notices: list[str] = field(default_factory=list)
    html: SafeString | None = None
    text: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    more_rows: int = 0
    sources: list[str] = field(default_factory=list)
    json: str = ""
    is_shortened: bool = False


def render_output(output: Any) -> RenderedOutput:
    if isinstance(output, LargeJson):
        return render_json(output)
    if isinstance(output, str):
        return _text(output)
    if isinstance(output, list):
        return _table(output) or render_json(output)
    if not isinstance(output, dict):
        return render_json(output)
    if isinstance(output.get("text"), str):
        return _prose(output) if "finishReason" in output else _text(output["text"], _scalars(output))
    for name in TABLES:
        if table := _table(output.get(name)):
            table.facts = _scalars(output)
            return table
    facts = _scalars(output)
    return RenderedOutput(facts=facts) if len(facts) == len(output) <= MAX_ROWS else render_json(output)


def _prose(output: Mapping[str, Any]) -> RenderedOutput:
    """Models write Markdown."""
    text, notices = _shortened(output["text"])
    is_shortened = bool(notices)
    if output.get("model") == "offline":
        notices.append(OFFLINE_NOTICE)
    notices += [str(warning) for warning in output.get("warnings") or []]
    sources = _sources(output.get("sources") or [])
    return RenderedOutput(notices=notices, html=markdown(text), sources=sources, is_shortened=is_shortened)


def markdown(text: str) -> SafeString:
    html = nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow",
    )
    return mark_safe(html)  # noqa: S308 - sanitised by nh3


def _text(text: str, facts: Sequence[tuple[str, str]] = ()) -> RenderedOutput:
    text, notices = _shortened(text)
    return RenderedOutput(notices=notices, text=text, facts=list(facts), is_shortened=bool(notices))


def _table(entries: Any) -> RenderedOutput | None:
    """Returns None if the entries are not rows of a table."""
    if not isinstance(entries, list) or not entries:
        return None
    kept = entries[:MAX_ROWS]
    if all(isinstance(entry, dict) for entry in kept):
        flat = [_flattened(entry) for entry in kept]
        columns = list(dict.fromkeys(key for entry in flat for key in entry))[:MAX_COLUMNS]
        rows = [[_cell(entry.get(column)) for column in columns] for entry in flat]
    elif all(isinstance(entry, list) for entry in kept):
        columns = [_cell(cell) for cell in kept[0][:MAX_COLUMNS]]
        rows = [[_cell(cell) for cell in entry[:MAX_COLUMNS]] for entry in kept[1:]]
    else:
        return None
    more = len(entries) - len(kept)
    return RenderedOutput(columns=columns, rows=rows, more_rows=more, is_shortened=more > 0)


def _flattened(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Puts a contact's properties beside its id."""
    inner = entry.get("properties")
    if not isinstance(inner, dict):
        return dict(entry)
    return {key: value for key, value in entry.items() if key != "properties"} | inner


def _scalars(output: Mapping[str, Any]) -> list[tuple[str, str]]:
    plain = ((key, value) for key, value in output.items() if key != "text" and not isinstance(value, dict | list))
    return [(_cell(key), _cell(value)) for key, value in islice(plain, MAX_ROWS + 1)]


def _sources(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    named = (
        f"{source.get('filename')}" + (f", page {page}" if (page := source.get("page")) else "") for source in sources
    )
    return list(dict.fromkeys(named))[:50]


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + "…"


def render_json(value: Any) -> RenderedOutput:
    if isinstance(value, LargeJson):
        notice = f"This is the beginning of {value.size:,} bytes."
        return RenderedOutput(notices=[notice], json=f"{value.beginning}…", is_shortened=True)
    text, notices = _shortened(pretty_json(value))
    return RenderedOutput(notices=notices, json=text, is_shortened=bool(notices))


def pretty_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _shortened(text: str) -> tuple[str, list[str]]:
    if len(text) <= MAX_CHARS:
        return text, []
    notice = f"These are the first {MAX_CHARS:,} of {len(text):,} characters."
    return text[:MAX_CHARS], [notice]
