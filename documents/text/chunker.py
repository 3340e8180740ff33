"""Text into chunks of a number of tokens, or of characters, at exact places in the document.

A document's text is its pages joined by PAGE_SEPARATOR; offsets count characters in it. A chunk lies on one
page: what a search finds can then be cited by its page and needs no second look. The price is that a sentence
which runs over a page break is in two chunks, and that small pages are small chunks.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Protocol

from documents.errors import TooComplex

if TYPE_CHECKING:
    from bpe_openai import Encoding

ENCODING = "o200k_base"
PAGE_SEPARATOR = "\n\n"
CHUNK_SIZE = 500
OVERLAP = 100
MAX_CHUNK_SIZE = 8000
"""What a user may ask for at most, in tokens."""

MAX_CHUNKS = 200_000
MAX_CHUNK_CHARACTERS = 50_000
"""The tokenizer refuses more than 200,000 tokens at once; no character has more than four."""
MAX_CHARACTERS_PER_TOKEN = 32
"""Longer stretches of blanks or dashes count as they stand, which keeps the work linear in the text."""

BREAK_ZONE = 0.6
"""A chunk gives up at most the last 40 % of its size for a better place to end at."""
SENTENCE_ZONE = 0.25
"""An overlap gives up at most a quarter to begin with a sentence."""

_CJK = "\u2e80-\u2fff\u3001-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_COUNTED_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_COUNTED_WORD = re.compile(rf"[{_COUNTED_CJK}]|[^\W_{_CJK}][^\s{_CJK}]*")

_ENDS = (
    (re.compile(r"(?<=\S)(?=[^\S\n]*\n[^\S\n]*\n)"), BREAK_ZONE),  # a paragraph
    (re.compile(r"(?<=[.!?…])[\"'”’»)\]]{0,3}(?=\s)|(?<=[。！？])[」』”’）]{0,3}"), BREAK_ZONE),  # a sentence
    (re.compile(r"(?<=\S)(?=[^\S\n]*\n)"), BREAK_ZONE),  # a line
    (re.compile(rf"(?<=\S)(?=[\s{_CJK}])|(?<=[{_CJK}])"), 0.0),  # a word
)
"""Where a chunk may end, best first, and from which part of its reach on."""
_LOOKAHEAD = 50

_SENTENCE_START = re.compile(r"(?<=[.!?…]\s)(?=\S)|(?<=\n\n)(?=\S)|(?<=[。！？])(?=[^\s」』”’）])")
_WORD_START = re.compile(rf"(?<=\s)(?=\S)|(?<=[{_CJK}])(?=\S)|(?=[{_CJK}])")
_NOT_BLANK = re.compile(r"\S")


@dataclass(frozen=True)
class Chunk:
    """`text` is `document[start:end]`, without blanks at either end. `page` counts from 1.

    `tokens` is its size in the unit that was asked for.
    """

    index: int
    page: int
    start: int
    end: int
    text: str
    tokens: int


class Unit(Protocol):
    """What sizes and overlaps are numbers of."""

    def count(self, text: str) -> int: ...

    def reach(self, text: str, start: int, size: int) -> int:
        """How far `size` of them go from `start` on: the place after the last whole character."""
        ...

    def back(self, text: str, start: int, end: int, size: int) -> int:
        """Where the last `size` of them before `end` begin."""
        ...


class _Tokens:
    def count(self, text: str) -> int:
        return len(_encoded(text))

    def reach(self, text: str, start: int, size: int) -> int:
        most = min(size * MAX_CHARACTERS_PER_TOKEN, MAX_CHUNK_CHARACTERS)
        window = min(size * 4, most)
        while True:
            tokens = _encoded(text[start : start + window])
            if len(tokens) > size:
                return start + max(1, _before(text[start : start + window], _octets(tokens[:size])))
            if window == most or start + window >= len(text):
                return min(start + window, len(text))
            window = min(window * 2, most)

    def back(self, text: str, start: int, end: int, size: int) -> int:
        tokens = _encoded(text[start:end])
        return end - _behind(text[start:end], _octets(tokens[-size:]))


class _Characters:
    def count(self, text: str) -> int:
        return len(text)

    def reach(self, text: str, start: int, size: int) -> int:
        return min(start + min(size, MAX_CHUNK_CHARACTERS), len(text))

    def back(self, text: str, start: int, end: int, size: int) -> int:
        return end - size


UNITS: dict[str, Unit] = {"tokens": _Tokens(), "characters": _Characters()}


def chunk_pages(
    pages: Sequence[str], *, size: int = CHUNK_SIZE, overlap: int = OVERLAP, unit: str = "tokens"
) -> list[Chunk]:
    """All text of the pages in chunks of at most `size` tokens (or another of UNITS) and MAX_CHUNK_CHARACTERS.

    Neighbours on a page share about `overlap` of them, less what it takes to begin with a sentence or word.
    A word is cut only when it exceeds `size` alone. Takes time linear in the text, and in
    `size / (size - overlap)`.
    Raises ValueError unless 0 <= overlap < size, and TooComplex beyond MAX_CHUNKS.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} {unit} does not fit in chunks of {size}")
    chunks: list[Chunk] = []
    offset = 0
    for number, page in enumerate(pages, start=1):
        for start, end, tokens in _spans(page, size, overlap, UNITS[unit]):
            if len(chunks) == MAX_CHUNKS:
                raise TooComplex(f"The text makes over {MAX_CHUNKS} chunks: use larger ones, or less overlap.")
            chunks.append(Chunk(len(chunks), number, offset + start, offset + end, page[start:end], tokens))
        offset += len(page) + len(PAGE_SEPARATOR)
    return chunks


def count_words(text: str) -> int:
    """Words between blanks, begun with a letter or digit; in Chinese and Japanese every character is one."""
    return len(_COUNTED_WORD.findall(text))


@lru_cache(maxsize=4)
def _encoded(text: str) -> list[int]:
    """Kept for a moment: how far a chunk reaches, its size and its overlap are often asked of the same text."""
    tokens: list[int] = encoding().encode_ordinary(text)
    return tokens


@cache
def encoding() -> "Encoding":
    """The tokenizer. It takes half a second and 150 MB: a process that forks others calls this first."""
    from bpe_openai import get_encoding  # the import alone takes 70 MB, and few processes chunk

    return get_encoding(ENCODING)


@cache
def token_sizes() -> "array[int]":
    """How many bytes each token stands for. Numbers, because children would copy the tokens themselves by looking."""
    return array("H", map(len, encoding().token_byte_values()))


def _spans(text: str, size: int, overlap: int, unit: Unit) -> Iterator[tuple[int, int, int]]:
    """Start, end and tokens of each chunk of a page; starts and ends both ascend."""
    text = text.rstrip()
    start, covered = _skip_blanks(text, 0), 0
    while covered < len(text):
        end, tokens = _end(text, start, covered, size, unit)
        if end <= covered:  # the next word does not fit behind the overlap
            start = _skip_blanks(text, covered)
            end, tokens = _end(text, start, covered, size, unit)
        yield start, end, tokens
        if end == len(text):
            return
        start, covered = _next_start(text, start, end, overlap, unit), end


def _end(text: str, start: int, covered: int, size: int, unit: Unit) -> tuple[int, int]:
    """The best end of a chunk at `start`, and its tokens. An end at `covered` says that no word fits."""
    end = _best_end(text, start, covered, unit.reach(text, start, size))
    tokens = unit.count(text[start:end])
    while tokens > size and covered < end > start + 1:  # a word cut off may take more tokens than the whole
        end = _best_end(text, start, covered, end - 1)
        tokens = unit.count(text[start:end])
    return end, tokens


def _octets(tokens: list[int]) -> int:
    """How many bytes of UTF-8 the tokens are."""
    return sum(map(token_sizes().__getitem__, tokens))


def _before(text: str, octets: int) -> int:
    """How many whole characters the first bytes of the text are."""
    return octets if text.isascii() else len(text.encode()[:octets].decode("utf-8", "ignore"))


def _behind(text: str, octets: int) -> int:
    """How many whole characters the last bytes of the text are."""
    return octets if text.isascii() else len(text.encode()[-octets:].decode("utf-8", "ignore"))


def _best_end(text: str, start: int, covered: int, reach: int) -> int:
    """The last of the best kind of ends behind `covered` and up to `reach`.

    Without any, a word that exceeds the reach is cut; but not for an overlap's sake, then it is `covered`.
    """
    if reach >= len(text):
        return len(text)
    for pattern, zone in _ENDS:
        first = max(covered + 1, start + 1, start + int(zone * (reach - start)))
        found = (match.end() for match in pattern.finditer(text, first, reach + _LOOKAHEAD))
        best = max((end for end in found if end <= reach), default=None)
        if best is not None:
            return best
    if start < covered and not _is_inside_word(text, covered):
        return covered
    return reach


def _next_start(text: str, start: int, end: int, overlap: int, unit: Unit) -> int:
    """The first sentence or word within the overlap, otherwise the next word after `end`."""
    if overlap:
        target = max(start + 1, unit.back(text, start, end, overlap))
        sentence = _SENTENCE_START.search(text, target, target + int((end - target) * SENTENCE_ZONE) + 1)
        begin = sentence or _WORD_START.search(text, target, end)
        if begin:
            return begin.start()
        if _is_inside_word(text, end):
            return target
    return _skip_blanks(text, end)


def _is_inside_word(text: str, position: int) -> bool:
    around = text[position - 1 : position + 1]
    return len("".join(around.split())) == 2 and not _WORD_START.match(text, position)


def _skip_blanks(text: str, position: int) -> int:
    found = _NOT_BLANK.search(text, position)
    return found.start() if found else len(text)
