"""PDF files, read page by page by PDFium. Pages that it cannot read well go to a second reader, then to OCR.

A damaged page becomes a warning, and the other pages are still read.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.errors import Corrupt, Encrypted, NeedsOcr, NoText, TooComplex, TooLarge
from documents.parsers import MAX_PAGES, Member, ParsedDocument, Report, register
from documents.parsers.pdf.annotations import read_annotations
from documents.parsers.pdf.appearances import Appearances
from documents.parsers.pdf.attachments import attachments
from documents.parsers.pdf.bombs import refuse_bombs
from documents.parsers.pdf.cipher import are_alike, deciphered, has_names, is_unlike_text, reads_like_text
from documents.parsers.pdf.fallback import SecondReader
from documents.parsers.pdf.layout import ordered
from documents.parsers.pdf.repair import HYPHEN, has_garbage, has_lost_letters, is_garbled, repair, replace_ligatures
from documents.parsers.pdf.source import lost_its_header, source_of
from documents.parsers.pdf.xfa import has_xfa, is_made_of_xfa, read_xfa
from documents.parsers.pictures import ocr

MIN_CHARACTERS = 20
"""A page with fewer is checked: it may have a picture of text, or more text than PDFium has found."""
MAX_RECHECKED_PAGES = 3
MAX_NOTICE = 2_500
"""A page with more characters is more than the notice that a form needs another viewer."""
MAX_OBJECTS = 5_000
MAX_FORM_NESTING = 4
SAMPLED_CHARACTERS = 16
SAMPLED_PAGES = 8
MAX_CHARACTERS_CHECKED = 5_000
DOUBTFUL_SHARE = 0.1
GARBLED_SHARE = 0.5
END_MARK_WITHIN_BYTES = 2048

_METADATA = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
_PLACEHOLDERS = {"(anonymous)", "(unspecified)", "anonymous", "untitled", "unspecified"}
_HYPHEN_AT_LINE_END = 2
"""PDFium's code for a real hyphen in the place of HYPHEN. Letters without a known code are shown as HYPHEN too."""


@dataclass
class _Pages:
    """The texts so far, and the numbers of pages with problems."""

    texts: list[str] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    oversized: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    garbled: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    deciphered: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    recognized: list[int] = field(default_factory=list)
    with_files: list[int] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    lacks_form: bool = False


@dataclass
class _Page:
    """The first reading of a page. `is_poor`: the second reader may find more.

    `is_doubtful` and `is_garbled`: some or most letters are wrong, because their font has no table of letters.
    `is_deciphered`: they were wrong, and the numbers of the letters allowed to find the right ones.
    """

    text: str
    is_damaged: bool = False
    is_poor: bool = False
    is_doubtful: bool = False
    is_garbled: bool = False
    is_deciphered: bool = False
    has_picture: bool = False
    has_files: bool = False
    has_drawings: bool = False


class PdfParser:
    formats = ("pdf",)

    def __init__(self) -> None:
        self.with_files: list[int] = []
        """The pages with attached files, in the document that was parsed last."""

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Reads every page. Raises Encrypted, Corrupt, TooComplex, TooLarge, NoText or NeedsOcr."""
        refuse_bombs(path)
        source = source_of(path)
        second = SecondReader(source)
        document = _open(source)
        total = second.total = len(document) if document is not None else second.page_count()
        if total > MAX_PAGES:
            raise TooLarge(f"The document has {total} pages, more than {MAX_PAGES}: split it and upload the parts.")
        pages = _Pages()
        for index in range(total):
            _read_page(document, second, index, pages)
            report(index + 1, total)
        self.with_files = pages.with_files
        _note_wrong_tables(pages)
        _add_drawings(Appearances(source), pages)
        if document is not None:
            _add_form(document, pages)
            _recognize(document, pages, report)
        if not any(map(str.strip, pages.texts)) and not pages.pictures:
            _recheck_blank_pages(second, pages)
        _refuse_unreadable(pages)
        pages.texts = repair(pages.texts)
        pages.lost = [number for number, text in enumerate(pages.texts, start=1) if has_lost_letters(text)]
        warnings = [*_warnings(pages), *_file_warnings(path, source)]
        unread = len({*pages.pictures, *pages.garbled})
        return ParsedDocument(pages.texts, _metadata(document), warnings, needs_ocr=unread)

    def members(self, path: Path) -> Iterator[Member]:
        return attachments(path, self.with_files)


def _open(source: Path | bytes) -> pdfium.PdfDocument | None:
    """Returns None for a damaged file, which the second reader may still read. Raises Encrypted."""
    try:
        document = pdfium.PdfDocument(source)
        if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            document.init_forms()
        return document if len(document) else None
    except pdfium.PdfiumError as error:
        if error.err_code in {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}:
            raise Encrypted() from error
        return None


def _read_page(document: pdfium.PdfDocument | None, second: SecondReader, index: int, pages: _Pages) -> None:
    """Appends what can be read of the page, and notes its problems."""
    number = index + 1
    page = _first_reading(document, index)
    if page.has_files:
        pages.with_files.append(index)
    if page.has_drawings:
        pages.drawn.append(index)
    if page.is_poor or page.is_garbled or page.is_doubtful:
        try:
            text, is_damaged = second.page_text(index)
        except TooComplex:
            pages.oversized.append(number)
            text, is_damaged = "", False
        if (is_damaged and page.is_poor) or (page.is_damaged and not text):
            pages.damaged.append(number)
        page = _better(page, text)
    if page.has_picture and _is_short(page.text):
        pages.pictures.append(number)
    elif page.is_garbled:
        pages.garbled.append(number)
    elif page.is_doubtful:
        pages.doubtful.append(number)
    elif page.is_deciphered:
        pages.deciphered.append(number)
    pages.texts.append(page.text)


def _better(page: _Page, text: str) -> _Page:
    """Returns the better one of the first reading and the second, whose text is `text`. Longer is not always better."""
    if page.is_garbled or page.is_doubtful:
        is_clean = not has_garbage(text) and not has_names(text) and 2 * _letters(text) > _letters(page.text)
        # The same reading twice confirms nothing: both readers take a number without a letter for a letter.
        if is_clean and (page.is_doubtful or reads_like_text(text) or not are_alike(text, page.text)):
            is_doubtful = are_alike(text, page.text) and not reads_like_text(text)
            return _Page(text, is_doubtful=is_doubtful, has_picture=page.has_picture)
        if plain := deciphered(text) or (page.is_garbled and deciphered(page.text)):
            return _Page(plain, is_deciphered=True)
        return page
    if _letters(text) > _letters(page.text):
        if has_names(text) and (plain := deciphered(text)):
            return _Page(plain, is_deciphered=True)
        return _Page(text, is_garbled=is_garbled(text) or has_names(text), has_picture=page.has_picture)
    return page


def _note_wrong_tables(pages: _Pages) -> None:
    """Finds pages whose fonts have a wrong table of letters. PDFium cannot know that, only the text shows it."""
    total = len(pages.texts)
    sample = range(0, total, max(1, total // SAMPLED_PAGES))
    if not any(is_unlike_text(pages.texts[index]) for index in sample):
        return
    noted = {*pages.pictures, *pages.garbled, *pages.doubtful, *pages.deciphered}
    for index, text in enumerate(pages.texts):
        if index + 1 in noted or not is_unlike_text(text):
            continue
        if plain := deciphered(text):
            pages.texts[index] = plain
            pages.deciphered.append(index + 1)
        else:
            pages.garbled.append(index + 1)
    pages.garbled.sort()
    pages.deciphered.sort()


def _add_drawings(appearances: Appearances, pages: _Pages) -> None:
    """Adds the words of signatures and stamps."""
    for index in pages.drawn:
        text = pages.texts[index]
        pages.texts[index] = "\n".join([text, *appearances.lines(index, text)])


def _add_form(document: pdfium.PdfDocument, pages: _Pages) -> None:
    """Adds the captions and values of an XFA form. They replace a page that only asks for another viewer."""
    if not has_xfa(document):
        return
    lines = read_xfa(document)
    known = " ".join(" ".join(pages.texts).split())
    if is_made_of_xfa(document):
        pages.lacks_form = not lines
        if lines and len(pages.texts) == 1 and len(known) < MAX_NOTICE:
            pages.texts, pages.pictures, pages.garbled = [""], [], []
            known = ""
    pages.texts[0] = "\n".join(filter(None, [pages.texts[0], *_unknown(lines, known)]))


def _unknown(lines: Iterable[str], known: str) -> Iterator[str]:
    """Yields the lines that the pages do not have. A form with ordinary pages has its values as fields there, too."""
    for line in lines:
        caption, _, value = line.rpartition(": ")
        if not (line in known or (value in known and caption in known)):
            yield line


def _recheck_blank_pages(second: SecondReader, pages: _Pages) -> None:
    """Reads the first pages with the second reader: PDFium may take damaged pages for blank ones."""
    for index in range(min(len(pages.texts), MAX_RECHECKED_PAGES)):
        pages.texts[index], is_damaged = second.page_text(index)
        if is_damaged:
            pages.damaged.append(index + 1)


def _first_reading(document: pdfium.PdfDocument | None, index: int) -> _Page:
    if document is None:
        return _Page("", is_poor=True)
    try:
        page = document[index]
        text_page = page.get_textpage()
    except pdfium.PdfiumError:
        return _Page("", is_damaged=True, is_poor=True)
    text = _page_text(text_page)
    unmapped = _unmapped_share(text_page)
    if unmapped > DOUBTFUL_SHARE and reads_like_text(_unmapped_text(text_page)):
        unmapped = 0.0
    kinds = _object_kinds(page) if _is_short(text) else Counter[int]()
    written = read_annotations(document, page, text)
    return _Page(
        "\n".join(filter(None, [text, *written.texts])),
        is_poor=bool(kinds) and kinds[pdfium_c.FPDF_PAGEOBJ_TEXT] > _letters(text),
        is_doubtful=DOUBTFUL_SHARE < unmapped <= GARBLED_SHARE,
        is_garbled=is_garbled(text) or has_names(text) or unmapped > GARBLED_SHARE,
        has_picture=kinds[pdfium_c.FPDF_PAGEOBJ_IMAGE] > 0,
        has_files=written.has_files,
        has_drawings=written.has_drawings,
    )


def _page_text(text_page: pdfium.PdfTextPage) -> str:
    text: str = text_page.get_text_range(errors="ignore")
    if HYPHEN in text:
        text = re.sub(HYPHEN, lambda match: _hyphen_or_gap(text_page, match.start()), text)
    return replace_ligatures(ordered(text_page, text).replace("\r\n", "\n"))


def _hyphen_or_gap(text_page: pdfium.PdfTextPage, place: int) -> str:
    return HYPHEN if pdfium_c.FPDFText_GetUnicode(text_page, place) == _HYPHEN_AT_LINE_END else "\ufffd"


def _unmapped_share(text_page: pdfium.PdfTextPage) -> float:
    """Returns the share of characters from fonts without a table of letters, by a sample. These are read wrong."""
    places = range(0, text_page.count_chars(), max(1, text_page.count_chars() // SAMPLED_CHARACTERS))
    unmapped = sum(pdfium_c.FPDFText_HasUnicodeMapError(text_page, place) == 1 for place in places)
    return float(unmapped / max(1, len(places)))


def _unmapped_text(text_page: pdfium.PdfTextPage) -> str:
    """Returns the characters from fonts without a table of letters. PDFium takes their numbers for letters."""
    places = range(min(text_page.count_chars(), MAX_CHARACTERS_CHECKED))
    return "".join(
        chr(min(pdfium_c.FPDFText_GetUnicode(text_page, place), sys.maxunicode))
        if pdfium_c.FPDFText_HasUnicodeMapError(text_page, place) == 1
        else " "
        for place in places
    )


def _object_kinds(page: pdfium.PdfPage) -> Counter[int]:
    """Counts the objects on the page by their kinds, such as pictures and texts."""
    kinds: Counter[int] = Counter()
    for count, item in enumerate(page.get_objects(max_depth=MAX_FORM_NESTING)):
        kinds[item.type] += 1
        if count > MAX_OBJECTS:
            break
    return kinds


def _recognize(document: pdfium.PdfDocument, pages: _Pages, report: Report) -> None:
    """Reads pictures of text by OCR, if it is enabled, and within its limits."""
    wanted = sorted({*pages.pictures, *pages.garbled})
    for number, text in ocr.recognize(document, wanted, report):
        pages.recognized.append(number)
        if text and (number in pages.garbled or _letters(text) > _letters(pages.texts[number - 1])):
            pages.texts[number - 1] = text
    done = set(pages.recognized)
    pages.pictures = [number for number in pages.pictures if number not in done]
    pages.garbled = [number for number in pages.garbled if number not in done]


def _is_short(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) < 10 * MIN_CHARACTERS and _letters(stripped) < MIN_CHARACTERS


def _letters(text: str) -> int:
    return len("".join(text.split()))


def _refuse_unreadable(pages: _Pages) -> None:
    """Raises an error if no page, or hardly any, has text."""
    readable = [text for number, text in enumerate(pages.texts, 1) if text.strip() and number not in pages.pictures]
    if not readable and pages.pictures:
        raise NeedsOcr(ocr.advice("The pages are pictures of text"))
    if not readable and pages.oversized:
        raise TooComplex()
    if not readable and (pages.damaged or not pages.texts):
        raise Corrupt()
    if not readable:
        raise NoText()
    if 2 * len(pages.garbled) > len(readable):
        raise NeedsOcr(ocr.advice("The text in the file is garbled, because its fonts lack the table of letters"))


def _warnings(pages: _Pages) -> Iterator[str]:
    reasons = (
        (pages.damaged, "damaged, and read in part or not at all"),
        (pages.oversized, "too large to be read"),
        (pages.pictures, "a picture without text, which needs text recognition (OCR)"),
        (pages.garbled, "garbled, which needs text recognition (OCR)"),
        (pages.doubtful, "garbled in part, because a font lacks the table of letters"),
        (pages.deciphered, "from a font without a table of letters, and guessed: single letters may be wrong"),
        (pages.lost, "words that lack letters, because a font does not name them (shown as \ufffd)"),
        (pages.recognized, "read by text recognition (OCR), which makes mistakes"),
    )
    for numbers, reason in reasons:
        if numbers:
            yield f"{len(numbers)} of {len(pages.texts)} pages: {reason} ({_ranges(numbers)})."

    if pages.lacks_form:
        yield "The form (XFA) in the file could not be read: print it to a PDF and upload that."


def _ranges(numbers: Iterable[int]) -> str:
    """Formats ascending numbers for people: `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _file_warnings(path: Path, source: Path | bytes) -> Iterator[str]:
    if lost_its_header(source):
        yield "The beginning of the file is damaged: pages may be missing."
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_MARK_WITHIN_BYTES))
        if b"%%EOF" not in file.read():
            yield "The file has no end mark and is probably incomplete: pages may be missing."


def _metadata(document: pdfium.PdfDocument | None) -> dict[str, str]:
    """Returns title, author and the like, if the file has them."""
    if document is None:
        return {}
    raw = document.get_metadata_dict(skip_empty=True)
    found = {ours: raw.get(theirs, "").strip() for theirs, ours in _METADATA.items()}
    return {name: value for name, value in found.items() if value and value not in _PLACEHOLDERS}


register(PdfParser())
