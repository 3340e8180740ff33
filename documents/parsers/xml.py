"""XML of any kind: values with the names of their elements, and running text as paragraphs."""

import re
from collections.abc import Iterator
from pathlib import Path

from documents.errors import Corrupt
from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.safe_xml import Element, attributes, local, local_name, parse_xml

_UNSEEN = {"schemaLocation", "noNamespaceSchemaLocation"}
_BLANKS = " \t\r\n"
_DECLARES = re.compile(rb"\s*(\xef\xbb\xbf)?<\?xml[^>]{1,200}encoding")


class XmlParser:
    formats = ("xml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page. Of a damaged file what can be read, with a warning."""
        data, warnings = _utf8(path.read_bytes()), []
        try:
            root = parse_xml(data)
        except Corrupt:
            root = parse_xml(data, is_damaged=True)
            warnings.append("The XML is damaged or cut off: what could be read of it was read.")
        text = "\n".join(_lines(root)) if root is not None else ""
        if warnings and not text:
            raise Corrupt()
        report(1, 1)
        return ParsedDocument([text], warnings=warnings)


def _utf8(data: bytes) -> bytes:
    """As UTF-8 what libxml2 does not read: UTF-16 without a mark, and other encodings that are not declared."""
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
    """A line for every value, in order. No recursion: depth is the file's choice."""
    stack = [root]
    while stack:
        element = stack.pop()
        name = local_name(element)
        if not name:  # a reference to an entity: nothing is read from elsewhere
            continue
        for key, value in attributes(element):
            if value.strip() and local(key) not in _UNSEEN:
                yield f"{name} {local(key)}: {' '.join(value.split())}"
        if _is_prose(element):
            yield " ".join("".join(element.itertext()).split())
        elif len(element):
            stack.extend(reversed(list(element)))
        elif text := " ".join((element.text or "").split()):
            yield f"{name}: {text}"


def _is_prose(element: Element) -> bool:
    """Whether text stands between the elements inside: marked words of a sentence, not fields of a record."""
    return len(element) > 0 and any(text and text.strip(_BLANKS) for text in _texts_between(element))


def _texts_between(element: Element) -> Iterator[str | None]:
    yield element.text
    for child in element:
        yield child.tail


register(XmlParser())
