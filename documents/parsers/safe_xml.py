"""XML that nobody trusts: no entities from elsewhere, no DTD, no network; names without their namespaces."""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from documents.errors import Corrupt, DocumentError, TooComplex

Element = Any
"""lxml's elements carry no types."""
FEW_ATTRIBUTES = 100


def parse_xml(data: bytes, *, is_damaged: bool = False, classes: etree.ElementClassLookup | None = None) -> Element:
    """The root element. Raises Corrupt, and TooComplex for what libxml2 takes for an attack.

    `is_damaged`: what can be read; None if that is nothing. `classes` makes elements of another library's.
    """
    parser = etree.XMLParser(
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=is_damaged,
        remove_comments=True,
        remove_pis=True,
    )
    parser.set_element_class_lookup(classes)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise judged(error) from error
    except ValueError as error:  # nothing at all, or characters that no XML may hold
        raise Corrupt() from error


def judged(error: SyntaxError) -> DocumentError:
    """What an error of libxml2 says of the file: nested or expanded like an attack, or damaged."""
    words = ("depth", "too long", "too big", "huge", "amplification", "loop")
    return TooComplex() if any(word in str(error) for word in words) else Corrupt()


def local_name(element: Element) -> str:
    """Without the namespace; "" for what is no element, such as a reference to an entity."""
    return local(element.tag) if isinstance(element.tag, str) else ""


def local(name: str) -> str:
    return name.rpartition("}")[2]


def attribute(element: Element, wanted: str) -> str:
    """By its name without the namespace, "" where it is missing."""
    return next((str(element.get(name)) for name in element.attrib if local(name) == wanted), "")


def attributes(element: Element) -> list[tuple[str, str]]:
    """All names and values. In their number lxml's `items` takes quadratic time, and XPath linear time."""
    if len(element.attrib) < FEW_ATTRIBUTES:
        return [*element.items()]
    return [(value.attrname, str(value)) for value in element.xpath("@*")]


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """In the order of the file, at any depth."""
    return (found for found in element.iter() if local_name(found) in names)
