"""Paragraphs of OpenDocument: their text, with raised characters, signs of symbol fonts and formulas as they look."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.signs.formulas import formula_text, joined, part_of
from documents.parsers.signs.raised import superscript
from documents.parsers.signs.symbol_fonts import symbols

MAX_REPEATED = 100
"""Limit for blanks or cells that one element repeats."""
MAX_PARENTS = 10
"""Limit for styles that are based on one another. The file may make a circle of them."""

HIDDEN = {"tracked-changes", "forms", "sequence-decls", "ruby-text", "settings", "variable-decls", "user-field-decls"}
"""Deleted text, and elements that are not text."""
PARAGRAPHS = {"p", "h"}

_BLANKS = re.compile(r"[ \t\r\n]+")
_ANCHORED = {
    *("note", "annotation", "frame", "custom-shape", "rect", "ellipse", "line", "connector", "polygon", "polyline"),
    *("path", "regular-polygon", "circle", "g", "caption", "measure"),
}
"""Elements anchored in a paragraph. Their text follows it as separate blocks."""


@dataclass(frozen=True)
class _Looks:
    is_raised: bool = False
    font: str = ""
    parent: str = ""


class TextStyles:
    """The looks of text styles by name: raised or not, and in which font."""

    def __init__(self, *roots: Element, formula: Callable[[Element], str] | None = None) -> None:
        """`formula` returns the text of a formula that is a file of its own, by its frame. It returns "" for others."""
        self._formula = formula
        self._styles: dict[str, _Looks] = {}
        self._fonts: dict[str, str] = {}
        for root in roots:
            self.add(root)

    def add(self, root: Element) -> None:
        for face in descendants(root, "font-face"):
            self._fonts[attribute(face, "name")] = attribute(face, "font-family").strip("'\"")
        for style in descendants(root, "style"):
            looks = _Looks(parent=attribute(style, "parent-style-name"))
            for properties in descendants(style, "text-properties"):
                font = attribute(properties, "font-name") or attribute(properties, "font-family").strip("'\"")
                looks = replace(looks, is_raised=_is_raised(attribute(properties, "text-position")), font=font)
            self._styles[attribute(style, "name")] = looks

    def shown(self, text: str, name: str) -> str:
        """Returns the text as it looks in the style `name`."""
        for _ in range(MAX_PARENTS):
            looks = self._styles.get(name)
            if looks is None:
                break
            text = symbols(text, self._fonts.get(looks.font, looks.font))
            if looks.is_raised:
                return superscript(text)
            name = looks.parent
        return symbols(text)

    def formula_of(self, frame: Element) -> str:
        """Returns the formula in a frame, or "" if it has none."""
        for formula in descendants(frame, "math"):
            return formula_text(part_of(formula))
        return self._formula(frame) if self._formula else ""


def _is_raised(position: str) -> bool:
    """Whether a `style:text-position` such as `super 58%` or `33% 58%` raises the text."""
    height = position.split()[0] if position.split() else ""
    return height == "super" or (height.rstrip("%").replace(".", "", 1).isdecimal() and float(height.rstrip("%")) > 0)


def paragraphs(parent: Iterable[Element], styles: TextStyles) -> list[str]:
    """Returns the texts of paragraphs at any depth, each followed by what is anchored in it."""
    found: list[str] = []
    for element in parent:
        if local_name(element) in PARAGRAPHS:
            anchored: list[Element] = []
            text = line(element, anchored, styles).strip()
            found += [text, *(text for item in anchored for text in paragraphs(item, styles))]
        elif local_name(element) not in HIDDEN:
            found += paragraphs(element, styles)
    return [*filter(None, found)]


def line(paragraph: Element, anchored: list[Element], styles: TextStyles) -> str:
    """Returns the text of a paragraph. Adds its notes, comments and frames to `anchored`."""
    return symbols(joined(_pieces(paragraph, anchored, styles)))


def _pieces(parent: Element, anchored: list[Element], styles: TextStyles) -> Iterator[str]:
    yield collapsed(parent.text)
    for child in parent:
        name = local_name(child)
        if name == "frame" and (formula := styles.formula_of(child)):
            yield formula
        elif name in _ANCHORED:
            anchored.append(child)
        elif name == "s":
            yield " " * repeated(child, "c")
        elif name in {"tab", "line-break"}:
            yield "\t" if name == "tab" else "\n"
        elif name == "span":
            yield styles.shown("".join(_pieces(child, anchored, styles)), attribute(child, "style-name"))
        elif name and name not in HIDDEN:
            yield from _pieces(child, anchored, styles)
        yield collapsed(child.tail)


def collapsed(text: str | None) -> str:
    """Replaces line ends and indentation of the file, which are not text, by one blank."""
    return _BLANKS.sub(" ", text or "")


def repeated(element: Element, name: str) -> int:
    value = attribute(element, name)
    return min(int(value), MAX_REPEATED) if value.isdecimal() and len(value) < 10 else 1
