"""Repairs the text of PDF files: ligatures and words cut at line ends. Detects text that is beyond repair."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from unicodedata import normalize

MAX_GARBLED_SHARE = 0.1
HYPHEN = "\ufffe"
"""PDFium's sign for a hyphen at which it has joined two lines."""

_GARBLED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\uffff\ue000-\uf8ff]")
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufdff\ufe70-\ufefc]+")
"""Ligatures and shaped letters, which a search for plain letters would miss."""
_GAP = re.compile(r"[\ufffd\x00-\x08\x0b-\x1f]")
_LOST_LETTER = re.compile(r"\w\ufffd\w")
_TEX_LIGATURES = {
    **dict(zip("\x0b\x0c\r\x0e\x0f", ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
    **dict(zip("\x1b\x1c\x1d\x1e\x1f", ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
}
"""TeX's fonts have ligatures in the places of control characters: OT1 from 0x0b on, T1 from 0x1b on."""
_TEX_MARKS = dict(zip("\x10\x11\x12\x13\x14\x15\x16", "“”„«»–—", strict=True))
_TEXT = re.compile(r"[A-Za-z0-9.,!?]")
_LATIN = re.compile("[A-Za-zÀ-žß]*")
_MAY_SURROUND = {
    "ff": (re.compile(r".*[aeiouy]\Z"), re.compile(r"[aeiosulry-]|\Z")),
    "fi": (re.compile(""), re.compile(r"[^hijkqwy]")),
    "fl": (re.compile(""), re.compile(r"[aeiouy]")),
    "ffi": (re.compile(r".*[aeiouy]\Z"), re.compile(r"[^hijkqwy]")),
    "ffl": (re.compile(r".*[aeiouy]\Z"), re.compile(r"[aeiouy]")),
}
"""Characters that may be before and after a ligature."""
_COMMON = (
    "affairs affect affected benefit benefits classified coefficient coefficients configuration conflict confirm"
    " define defined definition differ difference differences different difficult difficulty effect effective"
    " effects efficiency efficient efficiently effort efforts field fields figure figures file files final finally"
    " financial find finding findings fine finite first five fixed flat flexible float floor flow fluid identified"
    " identify influence infinite modified offer offered offers office officer officers offices official profile"
    " profit reflect satisfied scientific significant significantly specific specifically specified staff"
    " sufficient sufficiently traffic verified"
)
_COMMON_WORDS = frozenset(_COMMON.split())
"""Words with ligatures, for documents that are too short to have such words twice."""
_WORD_BEFORE = re.compile(r"[\w'’-]*\Z")
_WORD_AFTER = re.compile(r"[\w'’-]*")
LONGEST_WORD = 40
SHORTEST_WORD = 4
FITTING_SHARE = 0.9
_LIGATURES = ("ffi", "ffl", "fi", "fl", "ff", "tt", "ti")
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
    """Joins cut words and fills in ligatures, guided by the other words of the document."""
    if not any(HYPHEN in page or _GAP.search(page) for page in pages):
        return list(pages)
    known = Counter(word.casefold() for page in pages for word in _whole_words(page))
    pages = _with_tex_ligatures(pages, known)
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
    return _GAP.sub(lambda match: _filled(match, known), page)


def has_lost_letters(page: str) -> bool:
    """Whether words of a repaired page lack letters."""
    return "\ufffd" in page and _LOST_LETTER.search(page) is not None


def _filled(gap: re.Match[str], known: Counter[str]) -> str:
    """Returns the ligature for a letter without a name: one that makes a known word, else the one of TeX's fonts."""
    neighbors = gap.string[max(0, gap.start() - 1) : gap.end() + 1]
    if gap[0] in _TEX_MARKS and _TEXT.search(neighbors):
        return _TEX_MARKS[gap[0]]
    before, after = _around(gap)
    is_unknown = gap[0] == "\ufffd"
    if not (before or after):
        return gap[0] if is_unknown else " "
    if (is_unknown or _LATIN.fullmatch(before + after)) and (ligature := _letters(before, after, known)):
        return ligature
    if is_unknown:
        return "" if (before + after).casefold() in known else "\ufffd"
    return "\ufffd" if before and after and _LATIN.fullmatch(before + after) else " "


def _with_tex_ligatures(pages: Sequence[str], known: Counter[str]) -> list[str]:
    """Fills in TeX's ligatures. A number that is none anywhere in the document is another letter everywhere."""
    found = {ligature for ligature in _TEX_LIGATURES if any(ligature in page for page in pages)}
    for code in found:
        places = [_around(match) for page in pages for match in re.finditer(re.escape(code), page)]
        words = [place for place in places if len(place[0] + place[1]) > 1 and _LATIN.fullmatch(place[0] + place[1])]
        fitting = sum(_fits(_TEX_LIGATURES[code], *word) for word in words)
        if words and fitting >= FITTING_SHARE * len(words):
            pages = [re.sub(re.escape(code), lambda match: _ligature(match, known), page) for page in pages]
    return list(pages)


def _fits(ligature: str, before: str, after: str) -> bool:
    may_be_before, may_be_after = _MAY_SURROUND[ligature]
    return may_be_before.match(before) is not None and may_be_after.match(after) is not None


def _ligature(match: re.Match[str], known: Counter[str]) -> str:
    before, after = _around(match)
    if len(before + after) < 2 or not _LATIN.fullmatch(before + after):
        return " "
    return _letters(before, after, known) or _TEX_LIGATURES[match[0]]


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
    """Returns the ligature that makes a known word, or "". A letter that the font does not name is usually one."""
    words = ((each, (before + each + after).casefold()) for each in _LIGATURES)
    return next((each for each, word in words if word in known or word in _COMMON_WORDS), "")
