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
_JOINED = re.compile(rf"([\w'’-]*){HYPHEN}([\w'’-]*)")
_GAP = re.compile(r"(\w*)[\ufffd\0](\w*)")
_LIGATURES = ("ffi", "ffl", "fi", "fl", "ff", "tt", "ti", "")
_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*")


def plain(text: str) -> str:
    return _PRESENTATION_FORMS.sub(lambda match: normalize("NFKC", match[0]), text)


def is_garbled(text: str) -> bool:
    """Whether the text layer has no letters: fonts without a table of them give control characters."""
    return len(_GARBLED.findall(text)) > MAX_GARBLED_SHARE * len("".join(text.split()))


def has_garbage(text: str) -> bool:
    return not text or bool(_GARBLED.search(text))


def repair(pages: Sequence[str]) -> list[str]:
    """The pages with their cut words whole again, by the other words of the document, and blanks for controls."""
    if not any(mark in page for page in pages for mark in (HYPHEN, "\ufffd", "\0")):
        return [_CONTROLS.sub(" ", page) for page in pages]
    known = {word.casefold() for page in pages for word in _WORD.findall(page)}
    return [_repaired(page, known) for page in pages]


def _repaired(page: str, known: set[str]) -> str:
    page = _JOINED.sub(lambda match: _joined(match[1], match[2], known), page)
    page = _GAP.sub(lambda match: _filled(match[1], match[2], known), page)
    return _CONTROLS.sub(" ", page)


def _joined(before: str, after: str, known: set[str]) -> str:
    """One word, unless it is written with its hyphen elsewhere, or goes on with a capital or a digit."""
    whole, hyphenated = before + after, f"{before}-{after}"
    if not after[:1].islower() or not before[-1:].isalpha():
        return hyphenated
    if hyphenated.casefold() in known and whole.casefold() not in known:
        return hyphenated
    return whole


def _filled(before: str, after: str, known: set[str]) -> str:
    """A letter that the font does not name is most often a ligature: the one that makes a known word of it."""
    words = (before + ligature + after for ligature in _LIGATURES)
    return next((word for word in words if word.casefold() in known), f"{before}\ufffd{after}")
