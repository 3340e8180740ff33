"""Office Open XML packages (OPC): parts, and the relationships between them."""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zipfile import ZipFile

from docx.opc.coreprops import CoreProperties
from docx.oxml.coreprops import CT_CoreProperties
from docx.oxml.parser import element_class_lookup

from documents.errors import Corrupt
from documents.parsers.file_structures.safe_xml import Element, attribute, local_name, parse_xml
from documents.parsers.file_structures.zip_limits import ZIP_DAMAGE


@dataclass(frozen=True)
class Relationship:
    """A relationship. `kind` is the last part of its type's URL, `target` the name of a part, which may be missing."""

    id: str
    kind: str
    target: str


def part(archive: ZipFile, name: str) -> bytes:
    """Returns the bytes of a part. Raises Corrupt, also if the part is missing."""
    try:
        return archive.read(name)
    except (*ZIP_DAMAGE, KeyError) as error:
        raise Corrupt() from error


def xml_part(archive: ZipFile, name: str) -> Element:
    return parse_xml(part(archive, name))


def docx_part(archive: ZipFile, name: str) -> Element:
    """Returns a part as elements of python-docx, but read by our parser, with its limits."""
    return parse_xml(part(archive, name), classes=element_class_lookup)


def xml_parts(
    archive: ZipFile,
    names: Iterable[str],
    warnings: list[str],
    read: Callable[[ZipFile, str], Element] = xml_part,
) -> Iterator[Element]:
    """Yields the parts that can be read. Adds a warning for each of the others, as Office also opens such files."""
    for name in names:
        try:
            yield read(archive, name)
        except Corrupt:
            warnings.append(missing_part_warning(name))


def missing_part_warning(name: str) -> str:
    return f"A part of the file ({name}) is missing, damaged or unreadable: its text was left out."


def relationships(archive: ZipFile, source: str = "") -> Iterator[Relationship]:
    """Yields the relationships of a part, or of the package, to other parts. External targets are skipped."""
    folder, name = posixpath.split(source)
    address = posixpath.join(folder, "_rels", f"{name}.rels")
    if address not in archive.NameToInfo:
        return
    for element in xml_part(archive, address):
        if local_name(element) != "Relationship" or attribute(element, "TargetMode") == "External":
            continue
        address = attribute(element, "Target").replace("\\", "/")
        target = posixpath.normpath(posixpath.join("/", folder, address)).lstrip("/")
        yield Relationship(attribute(element, "Id"), attribute(element, "Type").rpartition("/")[2], target)


def related(archive: ZipFile, source: str, *kinds: str) -> list[str]:
    return [found.target for found in relationships(archive, source) if found.kind in kinds]


def relationship_id(element: Element) -> str:
    """Returns the `r:id` of an element, not its own `id` or an attribute that ends with it."""
    return next((str(element.get(name)) for name in element.attrib if name.endswith("}id")), "")


def unseen(names: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Yields parts that no other slide or sheet has named: a bomb may name one part many times."""
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name


def core_properties(archive: ZipFile) -> dict[str, str]:
    """Returns title, author and the like, if the file has them."""
    found: dict[str, str] = {}
    for root in xml_parts(archive, related(archive, "", "core-properties"), [], docx_part):
        if isinstance(root, CT_CoreProperties):
            properties = CoreProperties(root)
            found |= {name: getattr(properties, name).strip() for name in ("title", "author", "subject", "keywords")}
    return {name: value for name, value in found.items() if value}
