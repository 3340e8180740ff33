"""Formulas, raised characters and signs in web pages."""

import re

from selectolax.lexbor import LexborNode

from documents.parsers.signs.formulas import MAX_DEPTH, PLAIN, Part, formula_text, tex_text
from documents.parsers.signs.raised import superscript
from documents.parsers.signs.symbol_fonts import is_symbol_font, symbols

RAISED, LEVEL = "\x01", "\x02"
"""Marks around raised text. `with_raised` replaces them."""

_RAISED_TEXT = re.compile(f"{RAISED}([^{RAISED}{LEVEL}]*){LEVEL}")
MAX_NESTED = 5
_FORMULA_CLASS = re.compile(r"(?:^|[\s_-])(?:math|tex|latex|formula|equation)", re.IGNORECASE)
_FORMULA = re.compile(r"\\[A-Za-z]{2,}|[_^]\{|\S\s*[=≤≥≈±∑∫√∂]\s*\S|\w\^\w")
"""An alternative text that is a formula, and not a description of a picture."""
_RAISED_STYLE = re.compile(r"vertical-align:(?:super|text-top)(?:;|!|\Z)")
_FONT = re.compile(r"font-family:\s*[\"']?([\w ]+)")


def is_formula(node: LexborNode) -> bool:
    """Whether the element is MathML. In books, the name may have a prefix."""
    return (node.tag or "").rpartition(":")[2] == "math"


def formula_of(node: LexborNode) -> str:
    return formula_text(_part(node))


def _part(node: LexborNode, depth: int = 0) -> Part:
    part = Part((node.tag or "").rpartition(":")[2])
    part.values = {name: value or "" for name, value in node.attributes.items()}
    if depth > MAX_DEPTH:
        return Part(PLAIN, node.text())
    for child in node.iter(include_text=True):
        if child.is_text_node:
            part.text += child.text_content or ""
        elif child.is_element_node:
            part.children.append(_part(child, depth + 1))
    return part


def hidden_formula(node: LexborNode) -> list[LexborNode]:
    """Returns the formula in a hidden element that holds nothing else, as beside a picture of the formula."""
    found = node.css_first("math")
    return [found] if found is not None and len(node.text().strip()) == len(found.text().strip()) else []


def formula_picture(node: LexborNode) -> str:
    """Returns the formula that a picture shows, from its alternative text, or "" if it shows something else."""
    attributes = node.attributes
    text = (attributes.get("alt") or "").strip()
    is_named = bool(_FORMULA_CLASS.search(attributes.get("class") or ""))
    return tex_text(text) if text and (is_named or _FORMULA.search(text)) else ""


def is_raised(node: LexborNode) -> bool:
    """Whether the text is raised: by its element, its style, or as the mark of a note."""
    if node.tag == "sup":
        return True
    if node.tag not in {"a", "span", "font"}:
        return False
    attributes = node.attributes
    style = "".join((attributes.get("style") or "").lower().split())
    is_mark = "noteref" in f"{attributes.get('epub:type') or ''} {attributes.get('role') or ''}"
    return bool(_RAISED_STYLE.search(style)) or (is_mark and node.css_first("sup") is None)


def signs_of(node: LexborNode) -> str | None:
    """Returns the text of an element in a symbol font, such as Symbol, or None."""
    if node.tag not in {"font", "span"}:
        return None
    attributes = node.attributes
    style = _FONT.search((attributes.get("style") or "").lower())
    fonts = ((attributes.get("face") or "").partition(",")[0], style[1] if style else "")
    font = next(filter(is_symbol_font, fonts), "")
    return symbols(node.text(), font) if font else None


def with_raised(text: str) -> str:
    """Replaces the marks. Marks that are nested deeper than on any ordinary page are dropped."""
    for _ in range(MAX_NESTED):
        if RAISED not in text:
            break
        text = _RAISED_TEXT.sub(lambda match: superscript(match[1]), text)
    return text.replace(RAISED, "").replace(LEVEL, "")
