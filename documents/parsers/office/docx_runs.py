"""How a run of a Word document looks, as far as it changes the text: hidden, raised, or in a symbol font."""

from dataclasses import dataclass, replace

from documents.parsers.file_structures.safe_xml import Element, attribute, local_name
from documents.parsers.signs.raised import as_drawn
from documents.parsers.signs.symbol_fonts import is_symbol_font, symbols

MAX_PARENTS = 10
"""Limit for styles that are based on one another. The file may make a circle of them."""

_OFF = {"0", "false", "off"}
_PRIVATE_AREA = 0xF000
_BASELINE = "baseline"


@dataclass(frozen=True)
class Looks:
    is_hidden: bool = False
    shift: str = _BASELINE
    font: str = ""

    def shown(self, text: str) -> str:
        return as_drawn(text, self.font, is_raised=self.shift == "superscript")


_PLAIN = Looks()


class RunStyles:
    """The looks of character styles, such as that of footnote marks, by their ids."""

    def __init__(self, styles: Element | None) -> None:
        found = styles.iter("{*}style") if styles is not None else ()
        self._styles = {attribute(style, "styleId"): style for style in found}
        self._looks: dict[str, Looks] = {}

    def looks_of(self, run: Element) -> Looks | None:
        """Returns None for a run without properties."""
        properties = _child(run, "rPr")
        return None if properties is None else self._with(_PLAIN, properties)

    def _with(self, looks: Looks, properties: Element) -> Looks:
        for each in properties:
            if local_name(each) == "rStyle":
                looks = self._of_style(attribute(each, "val"))
        return _changed(looks, properties)

    def _of_style(self, id: str) -> Looks:
        if id not in self._looks:
            looks = _PLAIN
            for style in reversed(self._parents(id)):
                properties = _child(style, "rPr")
                looks = looks if properties is None else _changed(looks, properties)
            self._looks[id] = looks
        return self._looks[id]

    def _parents(self, id: str) -> list[Element]:
        """Returns the style and those that it is based on."""
        found: list[Element] = []
        while (style := self._styles.get(id)) is not None and len(found) < MAX_PARENTS:
            found.append(style)
            based_on = _child(style, "basedOn")
            id = "" if based_on is None else attribute(based_on, "val")
        return found


def symbol(element: Element) -> str:
    """Returns the character of a `w:sym`, which names its font and its place there."""
    code = attribute(element, "char")
    try:
        place = int(code, 16)
    except ValueError:
        return ""
    font = attribute(element, "font")
    if is_symbol_font(font):
        return symbols(chr(place & 0xFF | _PRIVATE_AREA), font)
    return symbols(chr(place), font) if place < 0x110000 else ""


def _changed(looks: Looks, properties: Element) -> Looks:
    for each in properties:
        name, value = local_name(each), attribute(each, "val")
        if name == "vanish":
            looks = replace(looks, is_hidden=value not in _OFF)
        elif name == "vertAlign":
            looks = replace(looks, shift=value)
        elif name == "position":
            looks = replace(looks, shift=_shift(value))
        elif name == "rFonts":
            font = attribute(each, "ascii") or attribute(each, "hAnsi")
            looks = replace(looks, font=font) if font else looks
    return looks


def _shift(half_points: str) -> str:
    try:
        height = int(half_points)
    except ValueError:
        return _BASELINE
    return "superscript" if height > 0 else _BASELINE


def _child(parent: Element, wanted: str) -> Element | None:
    return next((child for child in parent if local_name(child) == wanted), None)
