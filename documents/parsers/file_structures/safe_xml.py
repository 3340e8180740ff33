"""Parses untrusted XML: no external entities, no DTD, no network. Names are compared without their namespaces."""

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from lxml import etree

from documents.errors import Corrupt, DocumentError, TooComplex
from documents.parsers.file_structures.zip_limits import ZIP_DAMAGE

Element = Any
"""lxml's elements have no type annotations."""
SAFE_OPTIONS: dict[str, Any] = {
    "resolve_entities": "internal",
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}
FEW_ATTRIBUTES = 100


def parse_xml(data: bytes, *, is_damaged: bool = False, classes: etree.ElementClassLookup | None = None) -> Element:
    """Returns the root element. Raises Corrupt, and TooComplex if libxml2 takes the file for an attack.

    With `is_damaged` it reads as much as possible, and returns None if nothing can be read. `classes` are the element
    classes of another library.
    """
    parser = etree.XMLParser(
        **SAFE_OPTIONS,
        recover=is_damaged,
        remove_comments=True,
        remove_pis=True,
    )
    parser.set_element_class_lookup(classes)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _error_of(error) from error
    except ValueError as error:  # an empty file, or characters that are not allowed in XML
        raise Corrupt() from error


def events_of(file: IO[bytes], tags: Iterable[str], events: Sequence[str] = ("end",)) -> Iterator[tuple[str, Element]]:
    """Yields the elements with these tags while the file is read. Raises Corrupt and TooComplex.

    Clear each element after its end: it stays in memory otherwise.
    """
    try:
        yield from etree.iterparse(file, events=events, tag=tags, remove_comments=True, remove_pis=True, **SAFE_OPTIONS)
    except etree.XMLSyntaxError as error:
        raise _error_of(error) from error
    except ZIP_DAMAGE as error:
        raise Corrupt() from error


def _error_of(error: SyntaxError) -> DocumentError:
    """Returns our error for libxml2's: TooComplex for a file that looks like an attack, otherwise Corrupt."""
    words = ("depth", "too long", "too big", "huge", "amplification", "loop")
    return TooComplex() if any(word in str(error) for word in words) else Corrupt()


def local_name(element: Element) -> str:
    """Returns the name without its namespace, or "" if it is not an element, such as an entity reference."""
    return without_namespace(element.tag) if isinstance(element.tag, str) else ""


def without_namespace(name: str) -> str:
    return name.rpartition("}")[2]


def attribute(element: Element, wanted: str) -> str:
    """Returns the attribute with this name, whatever its namespace, or "" if it is missing."""
    return next((str(element.get(name)) for name in element.attrib if without_namespace(name) == wanted), "")


def attributes(element: Element) -> list[tuple[str, str]]:
    """Returns all names and values. For many attributes, lxml's `items` takes quadratic time, and XPath linear time."""
    if len(element.attrib) < FEW_ATTRIBUTES:
        return [*element.items()]
    return [(value.attrname, str(value)) for value in element.xpath("@*")]


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """Yields the elements with these names at any depth, in the order of the file."""
    return (found for found in element.iter() if local_name(found) in names)
