"""The words of texts and questions, cut in the same way for the index and for search.

PostgreSQL's own parser takes `and/or` for a path, `C++` for a `c` and a run of Chinese for one word, and its result
depends on the surrounding text. So texts are cut into words here, and PostgreSQL only stems them (see `stems.py`).

Scripts without blanks between words, and Korean, which attaches particles to words, are indexed by pairs of
neighboring characters at successive positions: 自由民主 becomes 自由, 由民, 民主 and 主.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from documents.text.folding import fold, fold_with_places
from documents.text.forms import Form, Special, specials

MAX_WORD = 100
"""Longer words are cut, because PostgreSQL accepts lexemes of at most 2,046 bytes."""


def _marks() -> str:
    """Returns marks that belong to the letter before them, such as vowels in scripts of India and South-East Asia."""
    places = [place for place in range(0x483, 0xABF0) if unicodedata.category(chr(place)) in ("Mn", "Mc")]
    starts = [place for place in places if place - 1 not in places]
    ends = [place for place in places if place + 1 not in places]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


_HAN_AND_KANA = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_SOUTH_EAST_ASIAN = "\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17d3"
_PAIRED = _HAN_AND_KANA + _HANGUL + _SOUTH_EAST_ASIAN
_MARKS = _marks()
_WITHIN = _MARKS + "\u0300-\u036f\xad\u200b-\u200d\u2060"
_APOSTROPHE = (
    "(?:(?<=[\u0400-\u052f])['`](?=[\u0400-\u052f])|(?<=[\u05d0-\u05ea])['`\"“”„](?=[\u05d0-\u05ea])|(?<=l)·(?=l))"
)
"""Part of a word in Cyrillic (м'ята), in Hebrew, which also has abbreviations with a double one, and in Catalan."""
WORD = re.compile(
    rf"[^\W_{_PAIRED}]+(?:(?:[{_WITHIN}]+|{_APOSTROPHE})[^\W_{_PAIRED}]*)*"
    rf"|[{_HAN_AND_KANA}][{_HAN_AND_KANA}{_WITHIN}]*|[{_HANGUL}]+"
    rf"|[{_SOUTH_EAST_ASIAN}][{_SOUTH_EAST_ASIAN}{_WITHIN}]*"
)
"""Letters and digits. In a script that is cut into pairs, a run without blanks."""
_PLAIN_WORD = re.compile("[a-z0-9]+")
"""The same for folded ASCII text, where it takes half the time."""
_IS_PAIRED = re.compile(rf"[{_PAIRED}]")
_CHARACTER = re.compile(rf".[{_MARKS}]*", re.DOTALL)
_APOSTROPHES = "'`\"“”„·"
_NO_APOSTROPHES = str.maketrans("", "", _APOSTROPHES)


class WordPlace(NamedTuple):
    """A folded word and its place in a text."""

    start: int
    end: int
    word: str


class Cut(NamedTuple):
    """The folded words of a text in order, and the other forms of those that begin at a number in `words`."""

    words: list[str]
    forms: dict[int, tuple[Form, ...]]


def cut(text: str) -> Cut:
    """Cuts a text into words. A run of a script that is cut into pairs counts as one word."""
    folded = fold(text)
    found: list[str] = []
    forms: dict[int, tuple[Form, ...]] = {}
    for start, end, special in _segments(folded):
        if special is not None:
            for form in special.forms:
                number = len(found) + form.first
                forms[number] = (*forms.get(number, ()), form)
        found += _words_between(folded, start, end) if special is None or special.word is None else [special.word]
    return Cut(found, forms)


def words(text: str) -> list[str]:
    """Returns the folded words of a text in order, without their other forms."""
    return cut(text).words


def _segments(folded: str) -> Iterator[tuple[int, int, Special | None]]:
    """Yields the specials of a folded text, and the places between them."""
    at = 0
    for special in specials(folded):
        yield at, special.start, None
        yield special.start, special.end, special
        at = special.end
    yield at, len(folded), None


def _words_between(folded: str, start: int, end: int) -> Sequence[str]:
    if folded.isascii():
        found: list[str] = _PLAIN_WORD.findall(folded, start, end)
        return found if max(map(len, found), default=0) <= MAX_WORD else [word[:MAX_WORD] for word in found]
    return [_plain(match.group()) for match in WORD.finditer(folded, start, end)]


def _plain(word: str) -> str:
    """Returns a word as it is indexed: not too long, and without apostrophes."""
    if is_paired(word):
        return word
    return (word if word.isalnum() else word.translate(_NO_APOSTROPHES))[:MAX_WORD]


def is_paired(word: str) -> bool:
    return not word.isascii() and _IS_PAIRED.match(word) is not None


def pairs(run: str) -> list[str]:
    """Returns each character with the next one, and the last one alone. So every character begins a lexeme."""
    characters = _CHARACTER.findall(run)
    return [first + second for first, second in zip(characters, [*characters[1:], ""], strict=True)]


def places(text: str, beginnings: Collection[str] | None = None) -> Iterator[WordPlace]:
    """Yields the words and their other forms with their places. A script that is cut into pairs has a place for each.

    With `beginnings` (of two letters), words in plain Latin letters are yielded only if they begin with one of them.
    """
    folded, origin = fold_with_places(text)
    for start, end, special in _segments(folded):
        if special is not None and special.word is not None:
            yield WordPlace(origin[start], origin[end], special.word)
            continue
        found = list(WORD.finditer(folded, start, end))
        for form in special.forms if special else ():
            last = end if form.is_sign else found[form.first + form.span - 1].end()
            yield WordPlace(origin[start if form.is_sign else found[form.first].start()], origin[last], form.text)
        for match in found:
            word = match.group()
            if beginnings is not None and word[:2] not in beginnings and word.isascii():
                continue
            yield from _places_of(match, origin)


def _places_of(match: re.Match[str], origin: Sequence[int]) -> Iterator[WordPlace]:
    word = match.group()
    if not is_paired(word):
        yield WordPlace(origin[match.start()], origin[match.end()], _plain(word))
        return
    characters = list(_CHARACTER.finditer(match.string, match.start(), match.end()))
    for character, following in zip(characters, [*characters[1:], None], strict=True):
        end = (following or character).end()
        yield WordPlace(origin[character.start()], origin[end], match.string[character.start() : end])
