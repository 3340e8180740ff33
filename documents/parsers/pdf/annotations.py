"""Annotations of a PDF: the values of form fields, and comments. They are not part of the page's text."""

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.parsers.pdf.appearances import is_drawn
from documents.parsers.pdf.repair import replace_ligatures

MAX_OPTIONS = 500
"""Limit for the options of a list. Choices beyond it are not read."""

_COMMENTS = {
    pdfium_c.FPDF_ANNOT_CARET,
    pdfium_c.FPDF_ANNOT_CIRCLE,
    pdfium_c.FPDF_ANNOT_FILEATTACHMENT,
    pdfium_c.FPDF_ANNOT_FREETEXT,
    pdfium_c.FPDF_ANNOT_HIGHLIGHT,
    pdfium_c.FPDF_ANNOT_INK,
    pdfium_c.FPDF_ANNOT_LINE,
    pdfium_c.FPDF_ANNOT_POLYGON,
    pdfium_c.FPDF_ANNOT_POLYLINE,
    pdfium_c.FPDF_ANNOT_SQUARE,
    pdfium_c.FPDF_ANNOT_SQUIGGLY,
    pdfium_c.FPDF_ANNOT_STAMP,
    pdfium_c.FPDF_ANNOT_STRIKEOUT,
    pdfium_c.FPDF_ANNOT_TEXT,
    pdfium_c.FPDF_ANNOT_UNDERLINE,
}
_CHECKED = {pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON}
_CHOSEN = {pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX}


@dataclass
class PageAnnotations:
    """The texts of a page's annotations.

    `has_files`: files are attached to places on the page. `has_drawings`: annotations draw words of their own.
    """

    texts: list[str] = field(default_factory=list)
    has_files: bool = False
    has_drawings: bool = False


def read_annotations(document: pdfium.PdfDocument, page: pdfium.PdfPage, text: str) -> PageAnnotations:
    """Returns the filled fields and the comments of a page, without hidden ones. `text` is the page's own text."""
    found = PageAnnotations()
    words = ""
    for annotation in annotations(page):
        kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
        found.has_files |= kind == pdfium_c.FPDF_ANNOT_FILEATTACHMENT
        found.has_drawings = found.has_drawings or is_drawn(document.formenv, annotation)
        if kind == pdfium_c.FPDF_ANNOT_WIDGET and document.formenv is not None:
            found.texts += _field(document.formenv, annotation)
        elif kind in _COMMENTS and not pdfium_c.FPDFAnnot_GetFlags(annotation) & pdfium_c.FPDF_ANNOT_FLAG_HIDDEN:
            words = words or " ".join(text.split())
            found.texts += _comment(annotation, words)
    return found


def annotations(page: pdfium.PdfPage) -> Iterator[object]:
    for place in range(pdfium_c.FPDFPage_GetAnnotCount(page)):
        if annotation := pdfium_c.FPDFPage_GetAnnot(page, place):
            yield annotation
            pdfium_c.FPDFPage_CloseAnnot(annotation)


def _comment(annotation: object, words: str) -> Iterator[str]:
    """Yields a comment's text. Some programs copy marked words into the comment: those are on the page already."""
    text = string(pdfium_c.FPDFAnnot_GetStringValue, annotation, b"Contents").strip()
    if text and " ".join(text.split()) not in words:
        yield text


def _field(form: pdfium.PdfFormEnv, annotation: object) -> Iterator[str]:
    """Yields `name: value` if the field is filled in."""
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    name = string(pdfium_c.FPDFAnnot_GetFormFieldAlternateName, form, annotation).strip()
    value = ""
    if kind in _CHECKED and pdfium_c.FPDFAnnot_IsChecked(form, annotation):
        value = string(pdfium_c.FPDFAnnot_GetFormFieldExportValue, form, annotation).strip()
        name = name or string(pdfium_c.FPDFAnnot_GetFormFieldName, form, annotation).strip()
    elif kind in _CHOSEN:
        value = ", ".join(_chosen(form, annotation)) or _value(form, annotation)
    elif kind == pdfium_c.FPDF_FORMFIELD_TEXTFIELD:
        value = _value(form, annotation)
    if value:
        yield f"{name}: {value}" if name else value


def _value(form: pdfium.PdfFormEnv, annotation: object) -> str:
    return string(pdfium_c.FPDFAnnot_GetFormFieldValue, form, annotation).strip()


def _chosen(form: pdfium.PdfFormEnv, annotation: object) -> Iterator[str]:
    """Yields the labels of the chosen options. The value may be a code, and only the first of several."""
    for place in range(min(MAX_OPTIONS, pdfium_c.FPDFAnnot_GetOptionCount(form, annotation))):
        if pdfium_c.FPDFAnnot_IsOptionSelected(form, annotation, place):
            yield string(pdfium_c.FPDFAnnot_GetOptionLabel, form, annotation, place).strip()


def string(read: Callable[..., int], *arguments: object) -> str:
    """Returns a string of PDFium, in UTF-16. Calls the function once for the length and once for the text."""
    size = read(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(size)
    read(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return replace_ligatures(buffer.raw.decode("utf-16-le", "ignore").rstrip("\0").replace("\r", "\n"))
