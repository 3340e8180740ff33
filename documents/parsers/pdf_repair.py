"""Repairs the text of PDF files: ligatures and words cut at line ends. Detects text that is beyond repair."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from unicodedata import normalize

MAX_GARBLED_SHARE = 0.1
HYPHEN = "\ufffe"
"""PDFium's sign for a hyphen at which it has joined two lines."""

_GARBLED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1f]")
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
"""Ligatures and shaped letters, which a search for plain letters would miss."""
_GAP = re.compile("[\ufffd\0]")
_WORD_BEFORE = re.compile(r"[\w'’-]*\Z")
_WORD_AFTER = re.compile(r"[\w'’-]*")
LONGEST_WORD = 40
SHORTEST_WORD = 4
_LIGATURES = ("ffi", "ffl", "fi", "fl", "ff", "tt", "ti", "")
_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*")


def replace_ligatures(text: str) -> str:
    return _PRESENTATION_FORMS.sub(lambda match: normalize("NFKC", match[0]), text)


def is_garbled(text: str) -> bool:
    """Whether much of the text is no letters: fonts without a table of letters give control characters."""
    if not _GARBLED.search(text):
        return False
    return len(_GARBLED.findall(text)) > MAX_GARBLED_SHARE * len("".join(text.split()))


def has_garbage(text: str) -> bool:
    return not text or bool(_GARBLED.search(text))


def repair(pages: Sequence[str]) -> list[str]:
    """Joins cut words, guided by the other words of the document, and replaces control characters by blanks."""
    if not any(mark in page for page in pages for mark in (HYPHEN, "\ufffd", "\0")):
        return [_CONTROLS.sub(" ", page) for page in pages]
    known = Counter(word.casefold() for page in pages for word in _whole_words(page))
    return [_repair_page(page, known) for page in pages]


def _whole_words(page: str) -> Iterator[str]:
    """Yields the words of a page, without the parts of cut words."""
    pieces = page.split(HYPHEN)
    for place, piece in enumerate(pieces):
        words = _WORD.findall(piece)
        yield from words[place > 0 : len(words) - (place < len(pieces) - 1)]


def _repair_page(page: str, known: Counter[str]) -> str:
    if HYPHEN in page:
        page = re.sub(HYPHEN, lambda match: _hyphen(*_around(match), known), page)
    page = _GAP.sub(lambda match: _letters(*_around(match), known), page)
    return _CONTROLS.sub(" ", page)


def _around(match: re.Match[str]) -> tuple[str, str]:
    """Returns the parts of the word on both sides of the match."""
    before = match.string[max(0, match.start() - LONGEST_WORD) : match.start()]
    after = match.string[match.end() : match.end() + LONGEST_WORD]
    words = _WORD_BEFORE.search(before), _WORD_AFTER.match(after)
    return words[0][0] if words[0] else "", words[1][0] if words[1] else ""


def _hyphen(before: str, after: str, known: Counter[str]) -> str:
    """Returns the hyphen, or "" if it only marks a line end.

    It stays if the word has a hyphen elsewhere or in its first part, or continues with a capital or a digit. It also
    stays between two words that the document uses separately (`well-known`), unless they are short or begin with a
    capital: `in-to`, `More-over`.
    """
    if not after[:1].islower() or not before[-1:].isalpha():
        return "-"
    if known[(before + after).casefold()]:
        return ""
    are_words = before.islower() and all(len(each) >= SHORTEST_WORD and known[each] > 1 for each in (before, after))
    return "-" if are_words or "-" in before or known[f"{before}-{after}".casefold()] else ""


def _letters(before: str, after: str, known: Counter[str]) -> str:
    """Returns the ligature that makes a known word. A letter that the font does not name is usually a ligature."""
    return next((each for each in _LIGATURES if (before + each + after).casefold() in known), "\ufffd")
