"""XML of any kind: values with the names of their elements, and running text as paragraphs."""

from collections.abc import Iterator
from pathlib import Path

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.markup import Element, local, local_name, parse_xml

_UNSEEN = {"schemaLocation", "noNamespaceSchemaLocation"}
_BLANKS = " \t\r\n"


class XmlParser:
    formats = ("xml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        root = parse_xml(_utf8(path.read_bytes()))
        text = "\n".join(_lines(root))
        report(1, 1)
        return ParsedDocument([text])


def _utf8(data: bytes) -> bytes:
    """Without its mark, for libxml2 believes the declaration; and UTF-16 without a mark, which it does not know."""
    if data[:4].count(0) and (text := decode(data)):
        return text.partition("?>")[2].encode() if text.startswith("<?xml") else text.encode()
    return data


def _lines(root: Element) -> Iterator[str]:
    """A line for every value, in order. No recursion: depth is the file's choice."""
    stack = [root]
    while stack:
        element = stack.pop()
        name = local_name(element)
        if not name:  # a reference to an entity: nothing is read from elsewhere
            continue
        for key, value in element.items():
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
