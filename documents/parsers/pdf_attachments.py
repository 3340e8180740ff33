"""Files attached to a PDF, to the whole of it or to a place on a page: documents of their own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.errors import Corrupt
from documents.parsers import Member
from documents.parsers.pdf_annotations import annotations


def attachments(path: Path, pages: Iterable[int]) -> Iterator[Member]:
    """Those of the document, then those on `pages`: these alone are looked at, for that takes reading them anew."""
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError:  # what was read of the file was read by the other reader
        return
    with document:
        for number, attachment in enumerate(_attachments(document, pages), start=1):
            yield Member(attachment.get_name() or f"attachment {number}", _data(attachment))


def _attachments(document: pdfium.PdfDocument, pages: Iterable[int]) -> Iterator[pdfium.PdfAttachment]:
    for place in range(document.count_attachments()):
        if raw := pdfium_c.FPDFDoc_GetAttachment(document, place):
            yield pdfium.PdfAttachment(raw, document)
    for index in pages:
        for annotation in annotations(document[index]):
            if raw := pdfium_c.FPDFAnnot_GetFileAttachment(annotation):
                yield pdfium.PdfAttachment(raw, document)


def _data(attachment: pdfium.PdfAttachment) -> Iterator[bytes]:
    try:
        yield bytes(attachment.get_data())
    except pdfium.PdfiumError as error:
        raise Corrupt() from error
