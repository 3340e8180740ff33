"""Text that comes out of PDF files, put right: ligatures, words cut at line ends, and what is beyond repair."""

import re
from collections.abc import Sequence
from unicodedata import normalize

MAX_GARBLED_SHARE = 0.1
HYPHEN = "\ufffe"
"""Stands where PDFium has joined two lines at a hyphen."""

_GARBLED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1f]")
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
"""Ligatures and shaped letters, which a search for the plain letters would miss."""
_GAP = re.compile("[\ufffd\0]")
_WORD_BEFORE = re.compile(r"[\w'’-]*\Z")
_WORD_AFTER = re.compile(r"[\w'’-]*")
LONGEST_WORD = 40
_LIGATURES = ("ffi", "ffl", "fi", "fl", "ff", "tt", "ti", "")
_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*")


def plain(text: str) -> str:
    return _PRESENTATION_FORMS.sub(lambda match: normalize("NFKC", match[0]), text)


def is_garbled(text: str) -> bool:
    """Whether the text layer has no letters: fonts without a table of them give control characters."""
    if not _GARBLED.search(text):
        return False
    return len(_GARBLED.findall(text)) > MAX_GARBLED_SHARE * len("".join(text.split()))


def has_garbage(text: str) -> bool:
    return not text or bool(_GARBLED.search(text))


def repair(pages: Sequence[str]) -> list[str]:
    """The pages with their cut words whole again, by the other words of the document, and blanks for controls."""
    if not any(mark in page for page in pages for mark in (HYPHEN, "\ufffd", "\0")):
        return [_CONTROLS.sub(" ", page) for page in pages]
    known = {word.casefold() for word in set().union(*map(_WORD.findall, pages))}
    return [_repaired(page, known) for page in pages]


def _repaired(page: str, known: set[str]) -> str:
    if HYPHEN in page:
        page = re.sub(HYPHEN, lambda match: _hyphen(*_around(match), known), page)
    page = _GAP.sub(lambda match: _letters(*_around(match), known), page)
    return _CONTROLS.sub(" ", page)


def _around(match: re.Match[str]) -> tuple[str, str]:
    """The parts of the word on both sides."""
    before = match.string[max(0, match.start() - LONGEST_WORD) : match.start()]
    after = match.string[match.end() : match.end() + LONGEST_WORD]
    words = _WORD_BEFORE.search(before), _WORD_AFTER.match(after)
    return words[0][0] if words[0] else "", words[1][0] if words[1] else ""


def _hyphen(before: str, after: str, known: set[str]) -> str:
    """None, unless the word has one elsewhere, or goes on with a capital or a digit."""
    if not after[:1].islower() or not before[-1:].isalpha():
        return "-"
    whole, hyphenated = (before + after).casefold(), f"{before}-{after}".casefold()
    return "-" if hyphenated in known and whole not in known else ""


def _letters(before: str, after: str, known: set[str]) -> str:
    """A letter that the font does not name is most often a ligature: the one that makes a known word of it."""
    return next((each for each in _LIGATURES if (before + each + after).casefold() in known), "\ufffd")
