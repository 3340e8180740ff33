"""The comments in cells of OpenDocument spreadsheets, which calamine does not read."""

from zipfile import ZipFile

from lxml import etree

from documents.errors import Corrupt
from documents.parsers.safe_xml import SAFE_OPTIONS, Element, attribute, descendants, error_of
from documents.parsers.zip_limits import ZIP_DAMAGE

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def comments(archive: ZipFile, name: str) -> dict[str, list[str]]:
    """Returns the comments by sheet name. Reads row by row to save memory. Raises Corrupt and TooComplex."""
    found: dict[str, list[str]] = {}
    sheet = ""
    try:
        with archive.open(name) as file:
            for event, element in etree.iterparse(
                file,
                events=("start", "end"),
                tag=(f"{_TABLE}table", f"{_TABLE}table-row"),
                **SAFE_OPTIONS,
            ):
                if element.tag == f"{_TABLE}table" and event == "start":
                    sheet = attribute(element, "name")
                elif element.tag == f"{_TABLE}table-row" and event == "end":
                    found.setdefault(sheet, []).extend(_comments(element))
                    element.clear()
    except etree.XMLSyntaxError as error:
        raise error_of(error) from error
    except ZIP_DAMAGE as error:
        raise Corrupt() from error
    return found


def _comments(row: Element) -> list[str]:
    texts = (
        "\n".join("".join(paragraph.itertext()).strip() for paragraph in descendants(comment, "p"))
        for comment in row.iter(f"{_OFFICE}annotation")
    )
    return [text for text in texts if text]
