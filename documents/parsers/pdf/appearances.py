"""The texts that annotations draw on a page: visible signatures, stamps and the like. PDFium's text leaves them out."""

from functools import cached_property
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

DRAWN = {pdfium_c.FPDF_ANNOT_FREETEXT, pdfium_c.FPDF_ANNOT_STAMP, pdfium_c.FPDF_ANNOT_WATERMARK}
"""Kinds of annotations that may show words of their own. A signature is a form field."""


class Appearances:
    """Opens the file once more at the first call: reading an appearance changes the page in memory."""

    def __init__(self, source: Path | bytes) -> None:
        self.source = source

    @cached_property
    def _document(self) -> pdfium.PdfDocument:
        document = pdfium.PdfDocument(self.source)
        if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            document.init_forms()
        return document

    def lines(self, index: int, known: str) -> list[str]:
        """Returns the lines that the annotations of a page draw and that are not in the `known` text."""
        try:
            page = self._document[index]
            before = _text(page)
            self._remove_others(page)
            pdfium_c.FPDFPage_Flatten(page, pdfium_c.FLAT_NORMALDISPLAY)
            # The page is loaded again. What it has drawn before comes first in its text.
            after = _text(self._document[index])
        except pdfium.PdfiumError:
            return []
        drawn = after.removeprefix(before) if after.startswith(before) else ""
        words = " ".join(known.split())
        return [line.strip() for line in drawn.splitlines() if line.strip() and " ".join(line.split()) not in words]

    def _remove_others(self, page: pdfium.PdfPage) -> None:
        for place in reversed(range(pdfium_c.FPDFPage_GetAnnotCount(page))):
            annotation = pdfium_c.FPDFPage_GetAnnot(page, place)
            is_wanted = annotation and is_drawn(self._document.formenv, annotation)
            pdfium_c.FPDFPage_CloseAnnot(annotation)
            if not is_wanted:
                pdfium_c.FPDFPage_RemoveAnnot(page, place)


def is_drawn(form: pdfium.PdfFormEnv | None, annotation: object) -> bool:
    """Whether the annotation is visible and may draw words that are not in its value or its comment."""
    if not _may_draw(form, annotation):  # asked first: a page may have hundreds of links
        return False
    hidden = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN | pdfium_c.FPDF_ANNOT_FLAG_NOVIEW
    return not pdfium_c.FPDFAnnot_GetFlags(annotation) & hidden


def _may_draw(form: pdfium.PdfFormEnv | None, annotation: object) -> bool:
    kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
    if kind != pdfium_c.FPDF_ANNOT_WIDGET or form is None:
        return kind in DRAWN
    return bool(pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation) == pdfium_c.FPDF_FORMFIELD_SIGNATURE)


def _text(page: pdfium.PdfPage) -> str:
    text: str = page.get_textpage().get_text_range(errors="ignore")
    return text.replace("\r\n", "\n")
