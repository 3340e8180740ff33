"""XFA forms, whose captions and values are in XML inside the PDF. Its pages often only say "Please wait"."""

import ctypes
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.errors import DocumentError
from documents.parsers.file_structures.safe_xml import Element, local_name, parse_xml

MAX_XML_BYTES = 50_000_000
MAX_NESTING = 100
MAX_LINES = 100_000
MAX_WORD = 70
"""Pictures in the data have lines of more letters. Numbers and addresses have less."""

_HIDDEN = {"hidden", "inactive", "invisible"}
_DATA_NAME = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?$")


def is_made_of_xfa(document: pdfium.PdfDocument) -> bool:
    """Whether viewers make the pages from the XML. The file's own page is for those that cannot."""
    return bool(document.get_formtype() == pdfium_c.FORMTYPE_XFA_FULL)


def has_xfa(document: pdfium.PdfDocument) -> bool:
    return bool(pdfium_c.FPDF_GetXFAPacketCount(document) > 0)


def read_xfa(document: pdfium.PdfDocument) -> list[str]:
    """Returns the lines of the form in their order, as `caption: value`. There are none if its XML cannot be read."""
    packets = list(_packets(document))
    roots = list(_roots(packets))
    template = _first(roots, "template")
    datasets = _first(roots, "datasets")
    data = None if datasets is None else _first([datasets], "data")
    form = _Form(data)
    lines = list(form.lines(template)) if template is not None else []
    return [line for line in (*lines, *form.unused()) if line][:MAX_LINES]


def _packets(document: pdfium.PdfDocument) -> Iterator[bytes]:
    total = 0
    for place in range(pdfium_c.FPDF_GetXFAPacketCount(document)):
        size = ctypes.c_ulong()
        pdfium_c.FPDF_GetXFAPacketContent(document, place, None, 0, size)
        total += size.value
        if total > MAX_XML_BYTES:
            return
        buffer = ctypes.create_string_buffer(size.value)
        pdfium_c.FPDF_GetXFAPacketContent(document, place, buffer, size.value, size)
        yield buffer.raw.strip(b"\0")


def _roots(packets: list[bytes]) -> Iterator[Element]:
    """Yields the root of the XML, whose pieces are the packets, or each packet's root if that is damaged."""
    with suppress(DocumentError):
        yield parse_xml(b"".join(packets))
        return
    for packet in packets:
        with suppress(DocumentError):
            root = parse_xml(packet, is_damaged=True)
            if root is not None:
                yield root


def _first(roots: Iterable[Element], name: str) -> Element | None:
    # The configuration has elements of the same names, but in another namespace.
    wanted = (each for root in roots for each in root.iter() if local_name(each) == name)
    return next((each for each in wanted if "/xci/" not in each.tag), None)


class _Form:
    """Walks through the template and takes each field's value from the data, which has the same names and order."""

    def __init__(self, data: Element | None) -> None:
        self.data = data
        self.used: set[Element] = set()

    def lines(self, element: Element, context: Element | None = None, depth: int = 0) -> Iterator[str]:
        context = self.data if context is None else context
        for child in element if depth < MAX_NESTING else ():
            name = local_name(child)
            if child.get("presence") in _HIDDEN:
                continue
            if name == "draw":
                yield _text(_child(child, "value"))
            elif name == "field":
                yield self._field(child, context)
            elif name == "exclGroup":
                yield self._choice(child, context)
            elif name in {"area", "pageArea", "pageSet", "subform", "subformSet"}:
                for part in self._instances(child, context):
                    yield from self.lines(child, part, depth + 1)

    def _instances(self, subform: Element, context: Element | None) -> list[Element | None]:
        """Returns the data of a part of the form. A part that is repeated, such as a row, has several."""
        name = _bound_name(subform)
        if context is None or not name:
            return [context]
        return [each for each in context if local_name(each) == name and len(each)] or [context]

    def _field(self, field: Element, context: Element | None) -> str:
        value = self._value(field, context) or _text(_child(field, "value"))
        if field.find("{*}ui/{*}button") is not None:
            return ""
        caption = _text(_child(_child(field, "caption"), "value")) or _text(_child(_child(field, "assist"), "toolTip"))
        return _line(caption, _shown(field, value))

    def _choice(self, group: Element, context: Element | None) -> str:
        """Returns the caption of the chosen one of several fields."""
        value = self._value(group, context)
        fields = [each for each in group if local_name(each) == "field"]
        captions = {_items(field)[:1] and _items(field)[0]: _text(_child(field, "caption")) for field in fields}
        return _line(_text(_child(group, "caption")), captions.get(value, "") or value)

    def _value(self, field: Element, context: Element | None) -> str:
        name = _bound_name(field)
        if context is None or self.data is None or not name:
            return ""
        for place in (context, self.data):
            for each in place.iter():
                if local_name(each) == name and not len(each) and each not in self.used:
                    self.used.add(each)
                    return _text(each)
        return ""

    def unused(self) -> Iterator[str]:
        """Yields the values that no field has shown."""
        for each in self.data.iter() if self.data is not None else ():
            if not len(each) and each not in self.used and each is not self.data:
                yield _line(local_name(each), _text(each)) if _text(each) else ""


def _bound_name(element: Element) -> str:
    """Returns the name of the element's data: its own, or what it is bound to, as in `$.address.city[*]`."""
    bind = _child(element, "bind")
    if bind is not None and bind.get("match") == "none":
        return ""
    reference = _DATA_NAME.search(bind.get("ref") or "") if bind is not None else None
    return reference[1].rpartition(".")[2] if reference else element.get("name") or ""


def _child(element: Element | None, name: str) -> Element | None:
    return None if element is None else next((each for each in element if local_name(each) == name), None)


def _items(field: Element) -> list[str]:
    return [_text(item) for items in field if local_name(items) == "items" for item in items]


def _shown(field: Element, value: str) -> str:
    """Returns the label of a list's value. A box that is not checked has no value."""
    lists = [[_text(item) for item in items] for items in field if local_name(items) == "items"]
    if field.find("{*}ui/{*}checkButton") is not None and lists:
        return value if value and value == lists[0][0] else ""
    if len(lists) == 2 and len(lists[0]) == len(lists[1]):
        saved = next((each for each in field if local_name(each) == "items" and each.get("save") == "1"), None)
        labels, values = (lists[1], lists[0]) if saved is not None and _is_first(field, saved) else lists
        return dict(zip(values, labels, strict=True)).get(value, value)
    return value


def _is_first(field: Element, items: Element) -> bool:
    return _child(field, "items") is items


def _line(caption: str, value: str) -> str:
    if caption and value:
        return f"{caption}{' ' if caption.endswith((':', '?')) else ': '}{value}"
    return caption or value


def _text(element: Element | None) -> str:
    """Returns the words in an element, without pictures, which are words of hundreds of letters."""
    if element is None or element.find("{*}image") is not None:
        return ""
    words = " ".join(element.itertext()).split()
    return " ".join(word for word in words if len(word) <= MAX_WORD)
