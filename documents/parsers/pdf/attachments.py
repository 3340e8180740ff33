"""Files attached to a PDF or to a place on a page. They become separate documents."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.errors import Corrupt
from documents.parsers import Member
from documents.parsers.pdf.annotations import annotations
from documents.parsers.pdf.source import source_of


def attachments(path: Path, pages: Iterable[int]) -> Iterator[Member]:
    """Yields the files attached to the document, then those on `pages`. Other pages are not read again."""
    try:
        document = pdfium.PdfDocument(source_of(path))
    except pdfium.PdfiumError:  # a damaged file, which the second reader has read
        return
    with document:
        for number, attachment in enumerate(_attachments(document, pages), start=1):
            yield Member(attachment.get_name() or f"attachment {number}", _read_attachment(attachment))


def _attachments(document: pdfium.PdfDocument, pages: Iterable[int]) -> Iterator[pdfium.PdfAttachment]:
    for place in range(document.count_attachments()):
        if raw := pdfium_c.FPDFDoc_GetAttachment(document, place):
            yield pdfium.PdfAttachment(raw, document)
    for index in pages:
        for annotation in annotations(document[index]):
            if raw := pdfium_c.FPDFAnnot_GetFileAttachment(annotation):
                yield pdfium.PdfAttachment(raw, document)


def _read_attachment(attachment: pdfium.PdfAttachment) -> Iterator[bytes]:
    try:
        yield bytes(attachment.get_data())
    except pdfium.PdfiumError as error:
        raise Corrupt() from error
