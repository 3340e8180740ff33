"""The words of texts and questions, cut in the same way for the index and for search.

PostgreSQL's own parser takes `and/or` for a path, `C++` for a `c` and a run of Chinese for one word, and its result
depends on the surrounding text. So texts are cut into words here, and PostgreSQL only stems them (see `stems.py`).

Scripts without blanks between words, and Korean, which attaches particles to words, are indexed by pairs of
neighboring characters at successive positions: 自由民主 becomes 自由, 由民, 民主 and 主.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

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
WORD = re.compile(
    rf"[^\W_{_PAIRED}]+(?:[{_WITHIN}]+[^\W_{_PAIRED}]*)*|[{_HAN_AND_KANA}][{_HAN_AND_KANA}{_WITHIN}]*|[{_HANGUL}]+"
    rf"|[{_SOUTH_EAST_ASIAN}][{_SOUTH_EAST_ASIAN}{_WITHIN}]*"
)
"""Letters and digits. In a script that is cut into pairs, a run without blanks."""
_PLAIN_WORD = re.compile("[a-z0-9]+")
"""The same for folded ASCII text, where it takes half the time."""
_IS_PAIRED = re.compile(rf"[{_PAIRED}]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
SHORT_RUN, MAX_RUNS = 8, 4096
_CHARACTER = re.compile(rf".[{_MARKS}]*", re.DOTALL)

# Soft hyphens, zero-width blanks and joiners, direction marks and the Arabic tatweel are not part of a word.
_DIRECTION = (0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = dict.fromkeys([0xAD, 0x640, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *_DIRECTION])
# Accents of Latin, Greek and Cyrillic, and the vowel points of Arabic and Hebrew, which most texts leave out.
# Marks of other scripts count as letters.
_ACCENTS = dict.fromkeys([*range(0x300, 0x370), *range(0x591, 0x5C8), *range(0x64B, 0x653), 0x670])
# й, ў and ї are separate letters.
_CYRILLIC_LETTERS = re.compile("[ИиУу]\u0306|[Іі]\u0308")


class WordPlace(NamedTuple):
    """A folded word and its place in a text."""

    start: int
    end: int
    word: str


def fold(text: str) -> str:
    """Folds case and accents: `Straße` → `strasse`, `Résumé` → `resume`, `ﬁne` → `fine`, wide letters to plain."""
    if text.isascii():
        return text.lower()
    return _NOT_ASCII.sub(_fold_run, text.lower())


def _fold_run(match: re.Match[str]) -> str:
    """Folds a run of non-ASCII characters alone. A mark that would combine with the letter before it is dropped."""
    run = match.group()
    return _fold_short(run) if len(run) <= SHORT_RUN else _fold(run)


def _fold(text: str) -> str:
    decomposed = _CYRILLIC_LETTERS.sub(_compose, unicodedata.normalize("NFKD", text))
    plain = decomposed.translate(_INVISIBLE).translate(_ACCENTS)
    return unicodedata.normalize("NFC", plain.casefold())


_fold_short = lru_cache(MAX_RUNS)(_fold)


def _compose(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match.group())


def words(text: str) -> list[str]:
    """Returns the folded words of a text in order. A run of a script that is cut into pairs counts as one word."""
    folded = fold(text)
    found: list[str] = (_PLAIN_WORD if folded.isascii() else WORD).findall(folded)
    if max(map(len, found), default=0) <= MAX_WORD:
        return found
    return [word if is_paired(word) else word[:MAX_WORD] for word in found]


def is_paired(word: str) -> bool:
    return not word.isascii() and _IS_PAIRED.match(word) is not None


def pairs(run: str) -> list[str]:
    """Returns each character with the next one, and the last one alone. So every character begins a lexeme."""
    characters = _CHARACTER.findall(run)
    return [first + second for first, second in zip(characters, [*characters[1:], ""], strict=True)]


def places(text: str, beginnings: Collection[str] | None = None) -> Iterator[WordPlace]:
    """Yields the words with their places, or each pair in a script that is cut into pairs.

    With `beginnings` (of two letters), words in plain Latin letters are yielded only if they begin with one of them.
    """
    for match in WORD.finditer(text):
        word = match.group()
        if beginnings is not None and word[:2].lower() not in beginnings and word.isascii():
            continue
        if not is_paired(word):
            yield WordPlace(match.start(), match.end(), fold(word)[:MAX_WORD])
            continue
        characters = list(_CHARACTER.finditer(text, match.start(), match.end()))
        for character, following in zip(characters, [*characters[1:], None], strict=True):
            end = (following or character).end()
            yield WordPlace(character.start(), end, fold(text[character.start() : end]))
