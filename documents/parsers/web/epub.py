"""EPUB books: a page for every file of the reading order, usually a chapter.

EbookLib is licensed under the AGPL and would add little: a book is a ZIP of web pages and a list of them.
"""

import posixpath
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZipFile

from documents.errors import Corrupt, DocumentError, Encrypted
from documents.parsers import ParsedDocument, Report, register
from documents.parsers.file_structures.office_package import part, xml_part
from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.file_structures.zip_limits import open_zip
from documents.parsers.web.html import read_page

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}
_METADATA = {"title": "title", "creator": "author", "subject": "subject"}


class EpubParser:
    formats = ("epub",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with open_zip(path) as archive:
            _refuse_encrypted(archive)
            package_name = _package_name(archive)
            package = xml_part(archive, package_name)
            document = ParsedDocument([], _metadata(package))
            names = _reading_order(package, posixpath.dirname(package_name))
            for done, name in enumerate(names, start=1):
                _read_chapter(archive, name, document)
                report(done, len(names))
            return document


def _refuse_encrypted(archive: ZipFile) -> None:
    """Raises Encrypted if chapters are encrypted. Many books only encrypt their fonts, which are not read."""
    if _ENCRYPTION not in archive.NameToInfo:
        return
    for reference in descendants(xml_part(archive, _ENCRYPTION), "CipherReference"):
        if attribute(reference, "URI").endswith((".xhtml", ".html", ".htm", ".xml")):
            raise Encrypted("The book is protected against copying (DRM): upload an edition without that.")


def _package_name(archive: ZipFile) -> str:
    for root in descendants(xml_part(archive, _CONTAINER), "rootfile"):
        return attribute(root, "full-path")
    raise Corrupt("The book does not name its contents: convert it again, for example with Calibre.")


def _reading_order(package: Element, folder: str) -> list[str]:
    """Returns the parts of the chapters, each once, as a bomb may name one many times."""
    items = {attribute(item, "id"): item for item in descendants(package, "item")}
    wanted = (items.get(attribute(reference, "idref")) for reference in descendants(package, "itemref"))
    pages = [item for item in wanted if item is not None and attribute(item, "media-type") in _PAGES]
    names = (posixpath.normpath(posixpath.join(folder, unquote(attribute(item, "href")))) for item in pages)
    return list(dict.fromkeys(names))


def _read_chapter(archive: ZipFile, name: str, document: ParsedDocument) -> None:
    """Appends the chapter's text. A damaged or missing chapter becomes a warning and a blank page."""
    text = ""
    try:
        text = read_page(part(archive, name)).text
    except DocumentError:
        document.warnings.append(f"Chapter {len(document.pages) + 1} ({name}) is missing or damaged.")
    document.pages.append(text)


def _metadata(package: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in (item for block in descendants(package, "metadata") for item in block):
        value = " ".join("".join(element.itertext()).split())
        if value and (ours := _METADATA.get(local_name(element))):
            found.setdefault(ours, value)
    return found


register(EpubParser())
