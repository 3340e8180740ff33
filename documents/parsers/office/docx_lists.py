"""Word's numbers of list items and headings. No paragraph contains its "2.1": it is counted ([ECMA-376] 17.9)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from documents.parsers.file_structures.safe_xml import Element, attribute, local_name
from documents.parsers.signs.list_numerals import NUMERALS, Numeral, letters, roman

LEVELS = 9
MAX_STYLES = 50
"""Limit for a chain of styles that are based on one another."""

_PLACE = re.compile(r"%([1-9])")
_NUMERALS: dict[str, Numeral] = {
    "decimalZero": "{:02}".format,
    "lowerLetter": letters,
    "upperLetter": NUMERALS["A"],
    "lowerRoman": roman,
    "upperRoman": NUMERALS["I"],
}


@dataclass(frozen=True)
class _Level:
    """A level of a list. `pattern` has `%1` for the number of the first level, and so on. A bullet has no pattern."""

    start: int = 1
    pattern: str = ""
    numerals: str = ""
    style: str = ""


@dataclass
class _List:
    """A list. `counts`, the number of the last item at each level, are shared by all lists of the same kind.

    `restarts` are the numbers with which this list starts again.
    """

    levels: dict[int, _Level]
    counts: dict[int, int]
    restarts: dict[int, int] = field(default_factory=dict)


class Lists:
    """Numbers paragraphs. Call `label` for every paragraph in order."""

    def __init__(self, numbering: Element | None, styles: Element | None) -> None:
        kinds = {
            attribute(item, "abstractNumId"): _List(dict(_levels(item)), {})
            for item in _children(numbering, "abstractNum")
        }
        self._lists: dict[str, _List] = {}
        for item in _children(numbering, "num"):
            if kind := kinds.get(_value(item, "abstractNumId")):
                self._lists[attribute(item, "numId")] = _variant(kind, item)
        self._styles = {attribute(item, "styleId"): item for item in _children(styles, "style")}
        self._places: dict[str, tuple[str, int | None, str]] = {}

    def label(self, paragraph: Element) -> str:
        """Returns the paragraph's number and a blank, or "" if it has none."""
        if not self._lists:
            return ""
        name, level, style = self._place(paragraph)
        found = self._lists.get(name)
        if found is None:
            return ""
        if level is None:
            level = next((place for place, each in found.levels.items() if style and each.style == style), 0)
        if level not in found.levels:
            return ""
        _count(found, level)
        return _label(found, level)

    def _place(self, paragraph: Element) -> tuple[str, int | None, str]:
        """Returns the list, the level, and the style that names the list if the paragraph does not."""
        properties = _child(paragraph, "pPr")
        name, level = _numbering(properties)
        if name:
            return name, level, ""
        style = _value(properties, "pStyle")
        if style not in self._places:
            self._places[style] = self._place_of(style)
        name, usual, style = self._places[style]
        return name, usual if level is None else level, style

    def _place_of(self, style: str) -> tuple[str, int | None, str]:
        level: int | None = None
        for _ in range(MAX_STYLES):
            found = self._styles.get(style)
            name, own = _numbering(_child(found, "pPr"))
            level = own if level is None else level
            if name:
                return name, level, style
            style = _value(found, "basedOn")
        return "", None, ""


def _numbering(properties: Element | None) -> tuple[str, int | None]:
    """Returns the list and the level that the properties name, if any."""
    numbering = _child(properties, "numPr")
    level = _value(numbering, "ilvl")
    return _value(numbering, "numId"), int(level) if level.isdecimal() else None


def _variant(kind: _List, item: Element) -> _List:
    levels, restarts = dict(kind.levels), {}
    for override in _children(item, "lvlOverride"):
        levels.update(_levels(override))
        place, start = attribute(override, "ilvl"), _value(override, "startOverride")
        if place.isdecimal() and start.isdecimal():
            restarts[int(place)] = int(start)
    return _List(levels, kind.counts, restarts)


def _levels(parent: Element) -> Iterator[tuple[int, _Level]]:
    for item in _children(parent, "lvl"):
        place, start, numerals = attribute(item, "ilvl"), _value(item, "start"), _value(item, "numFmt")
        pattern = "" if numerals in {"bullet", "none"} else _value(item, "lvlText")
        if place.isdecimal() and int(place) < LEVELS:
            first = int(start) if start.isdecimal() else 1
            yield int(place), _Level(first, pattern, numerals, _value(item, "pStyle"))


def _count(found: _List, level: int) -> None:
    counts = found.counts
    if level in found.restarts:
        counts[level] = found.restarts.pop(level)
    elif level in counts:
        counts[level] += 1
    else:
        counts[level] = found.levels[level].start
    for deeper in range(level + 1, LEVELS):
        counts.pop(deeper, None)


def _label(found: _List, level: int) -> str:
    def number(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        shown = found.levels.get(place, _Level())
        return _NUMERALS.get(shown.numerals, str)(found.counts.get(place, shown.start))

    text = _PLACE.sub(number, found.levels[level].pattern).strip()
    return f"{text} " if text else ""


def _children(parent: Element | None, wanted: str) -> list[Element]:
    return [child for child in parent if local_name(child) == wanted] if parent is not None else []


def _child(parent: Element | None, wanted: str) -> Element | None:
    return next(iter(_children(parent, wanted)), None)


def _value(parent: Element | None, wanted: str) -> str:
    """Returns the attribute `val` of the child."""
    child = _child(parent, wanted)
    return attribute(child, "val") if child is not None else ""
