"""The chunker: splits the pages of a document into chunks of a number of tokens or characters, at exact offsets.

A document's text is its pages joined by PAGE_SEPARATOR. Offsets count characters in this text. A chunk lies on one
page, so what a search finds can be cited by its page. The price: a sentence that continues on the next page is in two
chunks, and small pages are small chunks.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Protocol

from documents.errors import TooComplex
from documents.text.table_headings import Headings

if TYPE_CHECKING:
    from bpe_openai import Encoding

ENCODING = "o200k_base"
PAGE_SEPARATOR = "\n\n"
CHUNK_SIZE = 500
OVERLAP = 100
MAX_CHUNK_SIZE = 8000
"""The largest size that a user may choose, in tokens."""
MAX_REPEATS = 10
"""How many chunks may have the same token. It bounds what a small document can grow to."""

MAX_CHUNKS = 200_000
MAX_CHUNK_CHARACTERS = 50_000
"""The tokenizer refuses more than 200,000 tokens at once. A character has at most four."""
MAX_CHARACTERS_PER_TOKEN = 32
"""A token of more characters, such as a long run of blanks, counts as several. This keeps the work linear."""

BREAK_ZONE = 0.6
"""A chunk ends at most 40 % of its size early, to end at a better place."""
SENTENCE_ZONE = 0.25
"""An overlap gives up at most a quarter of its size, to begin with a sentence."""

_CJK = "\u2e80-\u2fff\u3001-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_COUNTED_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_COUNTED_WORD = re.compile(rf"[{_COUNTED_CJK}]|[^\W_{_CJK}][^\s{_CJK}]*")

_ENDS = (
    (re.compile(r"(?<=\S)(?=[^\S\n]*\n[^\S\n]*\n)"), BREAK_ZONE),  # a paragraph
    (re.compile(r"(?<=[.!?…])[\"'”’»)\]]{0,3}(?=\s)|(?<=[。！？])[」』”’）]{0,3}"), BREAK_ZONE),  # a sentence
    (re.compile(r"(?<=\S)(?=[^\S\n]*\n)"), BREAK_ZONE),  # a line
    (re.compile(rf"(?<=\S)(?=[\s{_CJK}])|(?<=[{_CJK}])"), 0.0),  # a word
)
"""Where a chunk may end, best first, and from which share of its size on."""
_LOOKAHEAD = 50

_SENTENCE_START = re.compile(r"(?<=[.!?…]\s)(?=\S)|(?<=\n\n)(?=\S)|(?<=[。！？])(?=[^\s」』”’）])")
_WORD_START = re.compile(rf"(?<=\s)(?=\S)|(?<=[{_CJK}])(?=\S)|(?=[{_CJK}])")
_NOT_BLANK = re.compile(r"\S")


def overlap_error(size: int, overlap: int) -> str:
    """Returns why chunks of `size` cannot share `overlap` tokens. Empty if they can."""
    if overlap >= size:
        return f"must be less than the chunk size ({size})"
    if size > MAX_REPEATS * (size - overlap):
        most = size + -size // MAX_REPEATS
        return f"must be at most {most} for the chunk size {size}: more repeats the text too often"
    return ""


@dataclass(frozen=True)
class Chunk:
    """A chunk of a document. `text` is `document[start:end]`, without blanks at either end. `page` counts from 1.

    If it begins within a table, `text` begins with the table's column names, on a line of their own.
    `tokens` is the size of `text` in the requested unit.
    """

    index: int
    page: int
    start: int
    end: int
    text: str
    tokens: int


class Unit(Protocol):
    """The unit of sizes and overlaps."""

    def count(self, text: str) -> int: ...

    def reach(self, text: str, start: int, size: int) -> int:
        """Returns the place after the last whole character of `size` units from `start`."""
        ...

    def back(self, text: str, start: int, end: int, size: int) -> int:
        """Returns where the last `size` units before `end` begin."""
        ...


class _Tokens:
    def count(self, text: str) -> int:
        return len(_encoded(text))

    def reach(self, text: str, start: int, size: int) -> int:
        max_window = min(size * MAX_CHARACTERS_PER_TOKEN, MAX_CHUNK_CHARACTERS)
        window = min(size * 4, max_window)
        while True:
            tokens = _encoded(text[start : start + window])
            if len(tokens) > size:
                return start + max(1, _leading_characters(text[start : start + window], _byte_count(tokens[:size])))
            if window == max_window or start + window >= len(text):
                return min(start + window, len(text))
            window = min(window * 2, max_window)

    def back(self, text: str, start: int, end: int, size: int) -> int:
        tokens = _encoded(text[start:end])
        return end - _trailing_characters(text[start:end], _byte_count(tokens[-size:]))


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
    """Splits the pages into chunks of at most `size` tokens (or another of UNITS) and MAX_CHUNK_CHARACTERS.

    Neighbors on a page share about `overlap` units, or slightly less so that they begin with a sentence or a word.
    A word is cut only if it is larger than `size`. The time is linear in the text, and in `size / (size - overlap)`.
    Raises ValueError unless 0 <= overlap < size, and TooComplex for more than MAX_CHUNKS.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} {unit} does not fit in chunks of {size}")
    chunks: list[Chunk] = []
    offset = 0
    for number, page in enumerate(pages, start=1):
        for start, end, heading, tokens in _chunk_spans(page, size, overlap, UNITS[unit]):
            if len(chunks) == MAX_CHUNKS:
                raise TooComplex(f"The text makes over {MAX_CHUNKS} chunks: use larger ones, or less overlap.")
            text = heading + page[start:end]
            chunks.append(Chunk(len(chunks), number, offset + start, offset + end, text, tokens))
        offset += len(page) + len(PAGE_SEPARATOR)
    return chunks


def count_words(text: str) -> int:
    """Counts words that begin with a letter or digit. In Chinese and Japanese, every character is a word."""
    return len(_COUNTED_WORD.findall(text))


@lru_cache(maxsize=4)
def _encoded(text: str) -> list[int]:
    """Returns the tokens. Cached, because the end, the size and the overlap of a chunk need those of the same text."""
    tokens: list[int] = encoding().encode_ordinary(text)
    return tokens


@cache
def encoding() -> "Encoding":
    """Returns the tokenizer, which takes half a second and 150 MB. A process that forks others loads it first."""
    from bpe_openai import get_encoding  # the import takes 70 MB, and few processes need it

    return get_encoding(ENCODING)


@cache
def token_sizes() -> "array[int]":
    """Returns the size of each token in bytes. Numbers, as a forked child that reads objects copies them."""
    return array("H", map(len, encoding().token_byte_values()))


def _chunk_spans(text: str, size: int, overlap: int, unit: Unit) -> Iterator[tuple[int, int, str, int]]:
    """Yields start, end, column names and size of each chunk of a page. Starts and ends both increase."""
    text = text.rstrip()
    headings = Headings(text, unit.count, min(size // 4, (size - overlap) // 2))
    start, covered = _skip_blanks(text, 0), 0
    while covered < len(text):
        heading, room = headings.at(start), size - headings.size_at(start)
        end, tokens = _chunk_end(text, start, covered, room, unit)
        if end <= covered:  # the next word does not fit behind the overlap
            start = _skip_blanks(text, covered)
            heading, room = headings.at(start), size - headings.size_at(start)
            end, tokens = _chunk_end(text, start, covered, room, unit)
        yield start, end, heading, unit.count(heading + text[start:end]) if heading else tokens
        if end == len(text):
            return
        start, covered = _next_start(text, start, end, overlap, unit), end


def _chunk_end(text: str, start: int, covered: int, size: int, unit: Unit) -> tuple[int, int]:
    """Returns the best end of a chunk at `start`, and its size. An end at `covered` means that no word fits."""
    end = _best_end(text, start, covered, unit.reach(text, start, size))
    tokens = unit.count(text[start:end])
    while tokens > size and covered < end > start + 1:  # a cut word may have more tokens than the whole word
        end = _best_end(text, start, covered, end - 1)
        tokens = unit.count(text[start:end])
    return end, tokens


def _byte_count(tokens: list[int]) -> int:
    """Returns how many bytes of UTF-8 the tokens have."""
    return sum(map(token_sizes().__getitem__, tokens))


def _leading_characters(text: str, byte_count: int) -> int:
    """Returns how many whole characters are in the first bytes of the text."""
    return byte_count if text.isascii() else len(text.encode()[:byte_count].decode("utf-8", "ignore"))


def _trailing_characters(text: str, byte_count: int) -> int:
    """Returns how many whole characters are in the last bytes of the text."""
    return byte_count if text.isascii() else len(text.encode()[-byte_count:].decode("utf-8", "ignore"))


def _best_end(text: str, start: int, covered: int, reach: int) -> int:
    """Returns the last end of the best kind after `covered` and up to `reach`.

    If there is none, a word that goes beyond `reach` is cut. If only the overlap makes it too long, returns `covered`.
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
    """Returns the first sentence or word within the overlap, otherwise the next word after `end`."""
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
