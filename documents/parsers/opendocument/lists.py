"""OpenDocument's numbers of list items and headings. No paragraph contains them ([ODF 1.3] 5.3, 16.31)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.signs.list_numerals import NUMERALS

MAX_DIGITS = 9
MAX_LEVELS = 10


@dataclass(frozen=True)
class _Level:
    """A level of a list. `shown` is how many levels its number shows: two for "2.1". No `numeral` means no number."""

    numeral: str
    prefix: str
    suffix: str
    start: int
    shown: int


@dataclass
class _Numbers:
    """The numbers of one list. `counts` is the number of the last item at each level."""

    levels: dict[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)

    def next(self, level: int, start: int | None) -> str:
        """Returns the next number and a blank, or "" if there is no number, as for bullets."""
        found = self.levels.get(level)
        self.counts = {place: count for place, count in self.counts.items() if place <= level}
        first = found.start if found else 1
        self.counts[level] = self.counts.get(level, first - 1) + 1 if start is None else start
        if not found or not found.numeral:
            return ""
        parts = ".".join(self._shown(place) for place in range(max(1, level - found.shown + 1), level + 1))
        return f"{found.prefix}{parts}{found.suffix} "

    def _shown(self, place: int) -> str:
        level = self.levels.get(place)
        count = self.counts.get(place, level.start if level else 1)
        return NUMERALS.get(level.numeral if level else "", str)(count)


class Numbering:
    """Writes the numbers into the paragraphs, before their text."""

    def __init__(self, *roots: Element) -> None:
        """`roots` are the parts that have styles."""
        self._styles = {
            attribute(style, "name"): dict(_levels(style))
            for root in roots
            for style in descendants(root, "list-style", "outline-style")
        }
        outlines = (dict(_levels(style)) for root in roots for style in descendants(root, "outline-style"))
        self._headings = _Numbers(next(outlines, {}))
        self._last: dict[str, _Numbers] = {}

    def write(self, parent: Element) -> None:
        """Numbers everything below `parent`, in order. Deleted text does not count."""
        for child in parent:
            name = local_name(child)
            if name == "list":
                self._write_list(child, "", 1, None)
            elif name == "h" and attribute(child, "is-list-header") != "true":
                self._write_heading(child)
            elif name != "tracked-changes":
                self.write(child)

    def _write_heading(self, heading: Element) -> None:
        level = _integer(attribute(heading, "outline-level")) or 1
        _put(self._headings.next(level, _integer(attribute(heading, "start-value"))), heading)
        self.write(heading)

    def _write_list(self, items: Element, outer: str, level: int, numbers: _Numbers | None) -> None:
        """`outer` is the style of the enclosing list. The list continues its `numbers` unless its own style differs."""
        style = attribute(items, "style-name") or outer
        if numbers is None or style != outer:
            numbers = self._numbers(items, style)
        self._last[style] = self._last[attribute(items, "id")] = numbers
        for item in items:
            is_counted = local_name(item) == "list-item"
            for child in item:
                if local_name(child) == "list":
                    self._write_list(child, style, level + 1, numbers)
                    continue
                if is_counted and local_name(child) in {"p", "h"}:
                    _put(numbers.next(level, _integer(attribute(item, "start-value"))), child)
                is_counted = False
                self.write(child)

    def _numbers(self, items: Element, style: str) -> _Numbers:
        continued = attribute(items, "continue-list")
        if not continued and attribute(items, "continue-numbering") == "true":
            continued = style
        return (self._last.get(continued) if continued else None) or _Numbers(self._styles.get(style, {}))


def _levels(style: Element) -> Iterator[tuple[int, _Level]]:
    for level in descendants(style, "list-level-style-number", "outline-level-style"):
        start, shown = _integer(attribute(level, "start-value")), _integer(attribute(level, "display-levels"))
        yield (
            _integer(attribute(level, "level")) or 1,
            _Level(
                attribute(level, "num-format"),
                attribute(level, "num-prefix"),
                attribute(level, "num-suffix"),
                1 if start is None else start,
                min(shown or 1, MAX_LEVELS),
            ),
        )


def _put(label: str, paragraph: Element) -> None:
    if label:
        paragraph.text = label + (paragraph.text or "").lstrip()


def _integer(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) <= MAX_DIGITS else None
