"""A second reader of PDF files, slow and thorough: for pages of which PDFium makes little or nothing."""

import logging
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from pypdf import PasswordType, PdfReader
from pypdf.errors import LimitReachedError, PyPdfError
from pypdf.generic import DecodedStreamObject, NameObject

from documents.errors import Corrupt, Encrypted, TooComplex
from documents.parsers.pdf_repair import plain

MAX_PAGES = 300
"""So many pages of a file are read a second time: it takes twenty times as long."""

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pypdf raises over damaged objects, beside its own errors: what an object of the wrong type leads to."""


class SecondReader:
    """Opens the file when it is first asked: few files need it.

    `total` is how many pages there are: a reader that counts others has left some out, and its pages are not these.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        """What can be read of the page, and whether it is damaged. Raises TooComplex."""
        self.pages_read += 1
        if self.pages_read > MAX_PAGES:
            return "", False
        try:
            if len(self._reader.pages) != self.total:
                return "", False
            return plain(self._reader.pages[index].extract_text()), False
        except LimitReachedError as error:
            raise TooComplex() from error
        except (PyPdfError, Corrupt, *_DAMAGE):
            return self._text_before_damage(index), True

    @cached_property
    def _reader(self) -> PdfReader:
        """Files with an owner's password only open with an empty user password, as in every viewer."""
        logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # a line for every damaged object of a hostile file
        reader = PdfReader(self.path)
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise Encrypted()
        return reader

    def _text_before_damage(self, index: int) -> str:
        """The page's text with more and more lines left out at the end of its drawing instructions."""
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
                    return plain(page.extract_text())
                dropped *= 2
        return ""
