"""XML of any kind: values with the names of their elements, and running text as paragraphs."""

import re
from collections.abc import Iterator
from pathlib import Path

from documents.errors import Corrupt
from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.file_structures.safe_xml import Element, attributes, local_name, parse_xml, without_namespace
from documents.parsers.signs.formulas import formula_text, part_of
from documents.parsers.signs.raised import superscript

_SKIPPED_ATTRIBUTES = {"schemaLocation", "noNamespaceSchemaLocation"}
_BLANKS = " \t\r\n"
_DECLARES = re.compile(rb"\s*(\xef\xbb\xbf)?<\?xml[^>]{1,200}encoding")


class XmlParser:
    formats = ("xml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page. Reads what it can of a damaged file, with a warning."""
        data, warnings = _utf8(path.read_bytes()), []
        try:
            root = parse_xml(data)
        except Corrupt:
            root = parse_xml(data, is_damaged=True)
            warnings.append("The XML is damaged or cut off, so only a part of it was read.")
        text = "\n".join(_lines(root)) if root is not None else ""
        if warnings and not text:
            raise Corrupt()
        report(1, 1)
        return ParsedDocument([text], warnings=warnings)


def _utf8(data: bytes) -> bytes:
    """Converts to UTF-8 what libxml2 cannot read: UTF-16 without a BOM, and encodings that are not declared."""
    is_wide = data[:4].count(0) > 0
    if not is_wide and (_DECLARES.match(data) or _is_utf8(data)):
        return data
    text = decode(data) or ""
    return (text.partition("?>")[2] if text.startswith("<?xml") else text).encode("utf-8", "replace")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(root: Element) -> Iterator[str]:
    """Yields a line for every value, in order. No recursion, because the file chooses the depth."""
    stack = [root]
    while stack:
        element = stack.pop()
        name = local_name(element)
        if not name:  # an entity reference: nothing is read from other files
            continue
        for key, value in attributes(element):
            if value.strip() and without_namespace(key) not in _SKIPPED_ATTRIBUTES:
                yield f"{name} {without_namespace(key)}: {' '.join(value.split())}"
        if _is_prose(element):
            yield _prose(element)
        elif len(element):
            stack.extend(reversed(list(element)))
        elif text := " ".join((element.text or "").split()):
            yield f"{name}: {text}"


def _prose(element: Element) -> str:
    """Returns the text of a sentence, with raised characters and formulas, as articles of publishers have them."""
    for part in element.iter("{*}sup", "{*}superscript", "{*}math"):
        if part is element or part.getparent() is None:
            continue
        is_formula = local_name(part) == "math"
        shown = formula_text(part_of(part)) if is_formula else superscript("".join(part.itertext()))
        for child in [*part]:
            part.remove(child)
        part.text = shown
    return " ".join("".join(element.itertext()).split())


def _is_prose(element: Element) -> bool:
    """Whether there is text between the child elements: they are words of a sentence, not fields of a record."""
    return len(element) > 0 and any(text and text.strip(_BLANKS) for text in _texts_between(element))


def _texts_between(element: Element) -> Iterator[str | None]:
    yield element.text
    for child in element:
        yield child.tail


register(XmlParser())
