"""Office Open XML packages: parts, and the relationships that lead from one to another."""

import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zipfile import BadZipFile, ZipFile

from docx.opc.coreprops import CoreProperties
from docx.oxml.coreprops import CT_CoreProperties
from docx.oxml.parser import element_class_lookup

from documents.errors import Corrupt
from documents.parsers.safe_xml import Element, attribute, local_name, parse_xml


@dataclass(frozen=True)
class Relationship:
    """`kind` is the end of its type's address, `target` the name of a part, which may be missing."""

    id: str
    kind: str
    target: str


def part(archive: ZipFile, name: str) -> bytes:
    """Raises Corrupt, also where the part is missing."""
    try:
        return archive.read(name)
    except (BadZipFile, EOFError, KeyError, NotImplementedError, OSError, ValueError, zlib.error) as error:
        raise Corrupt() from error


def xml_part(archive: ZipFile, name: str) -> Element:
    return parse_xml(part(archive, name))


def docx_part(archive: ZipFile, name: str) -> Element:
    """Made of python-docx's elements, but read by our parser, with its limits."""
    return parse_xml(part(archive, name), classes=element_class_lookup)


def xml_parts(
    archive: ZipFile,
    names: Iterable[str],
    warnings: list[str],
    read: Callable[[ZipFile, str], Element] = xml_part,
) -> Iterator[Element]:
    """Those that can be read; Office opens files that lack some, too. The others are told in `warnings`."""
    for name in names:
        try:
            yield read(archive, name)
        except Corrupt:
            warnings.append(left_out(name))


def left_out(name: str) -> str:
    """A warning."""
    return f"A part of the file ({name}) is missing, damaged or unreadable: its text was left out."


def relationships(archive: ZipFile, source: str = "") -> Iterator[Relationship]:
    """Those of the part, or of the package, to other parts. What lies outside the file is left alone."""
    folder, name = posixpath.split(source)
    address = posixpath.join(folder, "_rels", f"{name}.rels")
    if address not in archive.NameToInfo:
        return
    for element in xml_part(archive, address):
        if local_name(element) != "Relationship" or attribute(element, "TargetMode") == "External":
            continue
        target = posixpath.normpath(posixpath.join("/", folder, attribute(element, "Target"))).lstrip("/")
        yield Relationship(attribute(element, "Id"), attribute(element, "Type").rpartition("/")[2], target)


def related(archive: ZipFile, source: str, *kinds: str) -> list[str]:
    return [found.target for found in relationships(archive, source) if found.kind in kinds]


def unseen(names: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Those that no other slide or sheet has named: a bomb names one part again and again."""
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name


def core_properties(archive: ZipFile) -> dict[str, str]:
    """Title, author and the like, where the file has them."""
    found: dict[str, str] = {}
    for root in xml_parts(archive, related(archive, "", "core-properties"), [], docx_part):
        if isinstance(root, CT_CoreProperties):
            properties = CoreProperties(root)
            found |= {name: getattr(properties, name).strip() for name in ("title", "author", "subject", "keywords")}
    return {name: value for name, value in found.items() if value}
