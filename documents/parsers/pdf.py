"""PDF, page by page: a damaged page costs that page."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

from pypdf import PasswordType, PdfReader
from pypdf.errors import FileNotDecryptedError, LimitReachedError, PyPdfError
from pypdf.generic import DecodedStreamObject, NameObject

from documents.errors import Corrupt, DocumentError, Encrypted, NeedsOcr, NoText, TooComplex
from documents.parsers import ParsedDocument, Report, register

MAX_GARBLED_SHARE = 0.1
MAX_FORM_NESTING = 4
END_MARK_WITHIN_BYTES = 2048

_DAMAGE = (
    PyPdfError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pypdf raises over damaged objects: its own errors, and what an object of the wrong type leads to."""

_GARBLED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
"""Ligatures and shaped letters, which a search for the plain letters would miss."""

_METADATA = {"/Title": "title", "/Author": "author", "/Subject": "subject", "/Keywords": "keywords"}
_PLACEHOLDERS = {"(anonymous)", "(unspecified)", "anonymous", "untitled", "unspecified"}

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # a line for every damaged object of a hostile file


@dataclass
class _Pages:
    """The texts so far, and the numbers of the pages that something is wrong with."""

    texts: list[str] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    oversized: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    garbled: list[int] = field(default_factory=list)


class PdfParser:
    formats = ("pdf",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """An entry for every physical page. Raises Encrypted, Corrupt, TooComplex, NoText or NeedsOcr."""
        with path.open("rb") as file:
            with _damage_as(Corrupt()):
                reader = PdfReader(file)
                _unlock(reader)
                total = len(reader.pages)
            pages = _Pages()
            for index in range(total):
                _read_page(reader, index, pages)
                report(index + 1, total)
            _refuse_unreadable(pages)
            return ParsedDocument(pages.texts, _metadata(reader), [*_warnings(pages), *_end_warning(path)])


@contextmanager
def _damage_as(error: DocumentError) -> Iterator[None]:
    try:
        yield
    except FileNotDecryptedError as cause:
        raise Encrypted() from cause
    except LimitReachedError as cause:
        raise TooComplex() from cause
    except _DAMAGE as cause:
        raise error from cause


def _unlock(reader: PdfReader) -> None:
    """Files with an owner's password only open with an empty user password, as in every viewer."""
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise Encrypted()


def _read_page(reader: PdfReader, index: int, pages: _Pages) -> None:
    """Append the page's text, what can be read of it, and note what is wrong with it."""
    number = index + 1
    text = ""
    try:
        page = reader.pages[index]
        text = _plain(page.extract_text())
        if not text.strip() and _has_picture(page.get("/Resources"), MAX_FORM_NESTING):
            pages.pictures.append(number)
        elif _is_garbled(text):
            pages.garbled.append(number)
    except LimitReachedError:
        pages.oversized.append(number)
    except _DAMAGE:
        pages.damaged.append(number)
        text = _text_before_damage(reader, index)
    pages.texts.append(text)


def _plain(text: str) -> str:
    return _PRESENTATION_FORMS.sub(lambda match: normalize("NFKC", match[0]), text)


def _text_before_damage(reader: PdfReader, index: int) -> str:
    """The page's text with more and more lines left out at the end of its drawing instructions."""
    dropped = 1
    with suppress(*_DAMAGE):
        page = reader.pages[index]
        contents = page.get_contents()
        lines = contents.get_data().splitlines(keepends=True) if contents is not None else []
        while dropped < len(lines):
            shortened = DecodedStreamObject()
            shortened.set_data(b"".join(lines[:-dropped]))
            page[NameObject("/Contents")] = shortened
            with suppress(*_DAMAGE):
                return _plain(page.extract_text())
            dropped *= 2
    return ""


def _has_picture(resources: Any, nesting: int) -> bool:
    """Whether the resources, or those of the forms drawn by them, hold an image."""
    objects = _dictionary(_dictionary(resources).get("/XObject"))
    drawn = [_dictionary(reference) for reference in objects.values()]
    if any(item.get("/Subtype") == "/Image" for item in drawn):
        return True
    return nesting > 0 and any(_has_picture(item.get("/Resources"), nesting - 1) for item in drawn)


def _dictionary(value: Any) -> dict[str, Any]:
    resolved = value.get_object() if value is not None else None
    return resolved if isinstance(resolved, dict) else {}


def _is_garbled(text: str) -> bool:
    """Whether the text layer has no letters: fonts without a table of them give control characters."""
    return len(_GARBLED.findall(text)) > MAX_GARBLED_SHARE * len("".join(text.split()))


def _refuse_unreadable(pages: _Pages) -> None:
    """Raise when no page, or hardly one, has text."""
    readable = [text for text in pages.texts if text.strip()]
    if not readable and pages.pictures:
        raise NeedsOcr()
    if not readable and pages.oversized:
        raise TooComplex()
    if not readable and (pages.damaged or not pages.texts):
        raise Corrupt()
    if not readable:
        raise NoText()
    if 2 * len(pages.garbled) > len(readable):
        raise NeedsOcr(
            "The text in the file is garbled, for its fonts lack the table of letters: run the file through"
            " text recognition (OCR), with a new text layer, and upload the result."
        )


def _warnings(pages: _Pages) -> Iterator[str]:
    reasons = (
        (pages.damaged, "damaged, and read in part or not at all"),
        (pages.oversized, "too large to be read"),
        (pages.pictures, "a picture without text, which needs text recognition (OCR)"),
        (pages.garbled, "garbled, which needs text recognition (OCR)"),
    )
    for numbers, reason in reasons:
        if numbers:
            yield f"{len(numbers)} of {len(pages.texts)} pages: {reason} ({_ranges(numbers)})."


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers for people: `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _end_warning(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_MARK_WITHIN_BYTES))
        if b"%%EOF" not in file.read():
            yield "The file has no end mark and is probably incomplete: pages may be missing."


def _metadata(reader: PdfReader) -> dict[str, str]:
    """Title and author where the file has them; damaged metadata is no reason to refuse the text."""
    try:
        raw = dict(reader.metadata or {})
        found = {ours: str(raw.get(theirs) or "").strip() for theirs, ours in _METADATA.items()}
    except _DAMAGE:
        return {}
    return {name: value for name, value in found.items() if value and value not in _PLACEHOLDERS}


register(PdfParser())
