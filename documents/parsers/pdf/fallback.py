"""The second reader of PDF files, slow and thorough, for pages in which PDFium finds little or nothing."""

import logging
import struct
import zlib
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path

from pypdf import PageObject, PasswordType, PdfReader
from pypdf.errors import DependencyError, DeprecationError, LimitReachedError, PyPdfError
from pypdf.generic import DecodedStreamObject, NameObject

from documents.errors import Corrupt, Encrypted, TooComplex
from documents.parsers.pdf.layout import Piece, looks_upright, upright_order, without_doubled_words
from documents.parsers.pdf.repair import replace_ligatures

MAX_PAGES = 300
"""Limit for pages that are read a second time, which takes twenty times as long."""

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    DependencyError,
    DeprecationError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pypdf raises besides PyPdfError: for objects of a wrong type, and for filters that it does not know."""


class SecondReader:
    """Opens the file at the first call, as few files need it.

    `total` is the number of pages by PDFium. If this reader counts otherwise, its page numbers are not the same, and
    it reads none.
    """

    def __init__(self, source: Path | bytes) -> None:
        self.source = source
        self.total = 0
        self.pages_read = 0

    def page_count(self) -> int:
        """Raises Corrupt, Encrypted or TooComplex."""
        try:
            return len(self._reader.pages)
        except LimitReachedError as error:
            raise TooComplex() from error
        except (PyPdfError, *_DAMAGE) as error:
            raise Corrupt() from error

    def page_text(self, index: int) -> tuple[str, bool]:
        """Returns what can be read of the page, and whether it is damaged. Raises TooComplex."""
        self.pages_read += 1
        if self.pages_read > MAX_PAGES:
            return "", False
        try:
            if len(self._reader.pages) != self.total:
                return "", False
            return replace_ligatures(_text(self._reader.pages[index])), False
        except LimitReachedError as error:
            raise TooComplex() from error
        except (PyPdfError, Corrupt, *_DAMAGE):
            return self._text_before_damage(index), True

    @cached_property
    def _reader(self) -> PdfReader:
        """Opens the file. If it has an owner's password only, an empty user password opens it, as in every viewer."""
        # Otherwise a hostile file writes a line to the log for every damaged object.
        logging.getLogger("pypdf").setLevel(logging.CRITICAL)
        reader = PdfReader(BytesIO(self.source) if isinstance(self.source, bytes) else self.source)
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise Encrypted()
        return reader

    def _text_before_damage(self, index: int) -> str:
        """Returns the page's text, leaving out more and more lines at the end of its drawing instructions."""
        dropped = 1
        with suppress(PyPdfError, *_DAMAGE):
            page = self._reader.pages[index]
            contents = page.get_contents()
            lines = contents.get_data().splitlines(keepends=True) if contents is not None else []
            while dropped < len(lines):
                shortened = DecodedStreamObject()
                shortened.set_data(b"".join(lines[:-dropped]))
                page[NameObject("/Contents")] = shortened
                with suppress(PyPdfError, *_DAMAGE):
                    return replace_ligatures(page.extract_text())
                dropped *= 2
        return ""


def _text(page: PageObject) -> str:
    """Returns the text. Columns of single letters become lines."""
    text = without_doubled_words(page.extract_text())
    if not looks_upright(text):
        return text
    pieces: list[Piece] = []

    def collect(text: str, page_matrix: list[float], matrix: list[float], font: object, size: float) -> None:
        if text.strip():
            x, y = matrix[4] + page_matrix[4], matrix[5] + page_matrix[5]
            pieces.append(Piece(text.strip(), x, y, abs(size * matrix[3]) or 1))

    page.extract_text(visitor_text=collect)
    order = upright_order(pieces)
    return text if order is None else "\n".join("".join(pieces[number].text for number in each) for each in order)
