"""Text in drawings of Office files: shapes, charts and diagrams."""

from collections.abc import Iterator

from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.signs.formulas import formula_text, joined, part_of
from documents.parsers.signs.raised import as_drawn

_HIDDEN = {"rPr", "pPr", "rPh", "phoneticPr", "Fallback"}
"""Properties, the pronunciation of a text, and the second copy of a formula, for older versions."""
_CHARACTERS = {"br": "\n", "tab": "\t"}


def line(paragraph: Element) -> str:
    """Returns the text of a paragraph, or of another element that holds runs."""
    return joined(_pieces(paragraph))


def _pieces(parent: Element) -> Iterator[str]:
    for child in parent:
        name = local_name(child)
        if name == "t":
            yield "".join(_pieces(child)) if len(child) else child.text or ""
        elif name in _CHARACTERS:
            yield _CHARACTERS[name]
        elif name == "oMath":
            yield formula_text(part_of(child))
        elif name in {"r", "fld"}:
            yield _run(child)
        elif name not in _HIDDEN:
            yield from _pieces(child)


def _run(run: Element) -> str:
    """Returns the text of a run: raised characters and signs of symbol fonts as what they show."""
    text = "".join(_pieces(run))
    for properties in (child for child in run if local_name(child) == "rPr"):
        text = as_drawn(text, _font(properties), is_raised=_is_raised(properties))
    return text


def _font(properties: Element) -> str:
    fonts = {local_name(each): attribute(each, "typeface") or attribute(each, "val") for each in properties}
    return fonts.get("sym") or fonts.get("latin") or fonts.get("rFont") or ""


def _is_raised(properties: Element) -> bool:
    """Whether the run is raised: `baseline`, a part of its size, in drawings, and `vertAlign` in workbooks."""
    baseline = attribute(properties, "baseline")
    aligned = {attribute(each, "val") for each in properties if local_name(each) == "vertAlign"}
    return "superscript" in aligned or (baseline.strip("0%") != "" and not baseline.startswith("-"))


def labels(root: Element) -> Iterator[str]:
    """Yields the texts of a chart (titles, names of series and categories), a diagram, or comments, each once."""
    texts = (
        line(element) if local_name(element) == "p" else element.text or ""
        for element in descendants(root, "p", "strCache", "text")
        if local_name(element) != "strCache"
    )
    cached = (value.text or "" for cache in descendants(root, "strCache") for value in descendants(cache, "v"))
    yield from dict.fromkeys(filter(None, map(str.strip, [*texts, *cached])))
