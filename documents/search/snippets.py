"""Snippets: the part of a chunk with the most of the question's words. `ts_headline` is a hundred times slower."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from documents.text.stems import PREFIXING, stems_of_each
from documents.text.words import WordPlace, is_paired, places

WIDTH = 300
ELLIPSIS = "…"
LONGEST_WORD = 30
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """`marks` are the starts and ends of the found words in `text`."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()

    def as_html(self) -> SafeString:
        """Returns the text with the found words in `<mark>`. Everything else is escaped."""
        parts: list[tuple[str, str]] = []
        at = 0
        for start, end in self.marks:
            parts.append((self.text[at:start], self.text[start:end]))
            at = end
        return format_html("{}{}", format_html_join("", "{}<mark>{}</mark>", parts), self.text[at:])


@dataclass(frozen=True, slots=True)
class _WordHit:
    start: int
    end: int
    lexeme: str


def snippets(
    texts: Sequence[tuple[str, str]], lexemes: Collection[str], beginnings: tuple[str, ...] = (), width: int = WIDTH
) -> list[Snippet]:
    """Returns, for each text and its language, about `width` characters with as many of the words as possible.

    The words are those with one of the lexemes, and those that begin with one of the `beginnings`. "…" marks a cut.
    """
    found = _hits_of_each(texts, lexemes, beginnings)
    return [_snippet(text, hits, width) for (text, _), hits in zip(texts, found, strict=True)]


def highlighted(text: str, language: str, lexemes: Collection[str], beginnings: tuple[str, ...] = ()) -> Snippet:
    """Returns the whole text, unchanged, with the same words marked."""
    (hits,) = _hits_of_each([(text, language)], lexemes, beginnings)
    return Snippet(text, tuple(_merged_spans(hits, 0, len(text))))


def _hits_of_each(
    texts: Sequence[tuple[str, str]], lexemes: Collection[str], beginnings: tuple[str, ...]
) -> list[list[_WordHit]]:
    first = {word[:2] for word in [*lexemes, *beginnings]}
    first |= {letters.replace("i", "y") for letters in first}  # `dying` has the stem `die`
    found = [list(places(text, None if language in PREFIXING else first)) for text, language in texts]
    stems = stems_of_each(
        [
            ({place.word for place in group if place.word and not is_paired(place.word)}, language)
            for group, (_, language) in zip(found, texts, strict=True)
        ]
    )
    return [list(_find_hits(group, known, lexemes, beginnings)) for group, known in zip(found, stems, strict=True)]


def _snippet(text: str, hits: Sequence[_WordHit], width: int) -> Snippet:
    start, end = _best_span(hits, width)
    spare = max(width - (end - start), 0)
    start = max(start - spare // 2, 0)
    end = min(start + width, len(text))
    start = max(min(start, end - width), 0)
    start, end = _word_start(text, start), _word_end(text, end)
    return _cut_snippet(text, start, end, hits)


def _find_hits(
    found: Iterable[WordPlace], stems: Mapping[str, str], lexemes: Collection[str], beginnings: tuple[str, ...]
) -> Iterator[_WordHit]:
    for place in found:
        lexeme = stems.get(place.word, place.word)
        if lexeme in lexemes:
            yield _WordHit(place.start, place.end, lexeme)
        elif beginnings and place.word.startswith(beginnings):
            # Only the first character of a pair was asked for.
            end = place.start + 1 if is_paired(place.word) else place.end
            yield _WordHit(place.start, end, lexeme)


def _cut_snippet(text: str, start: int, end: int, hits: Sequence[_WordHit]) -> Snippet:
    cut, marks = ELLIPSIS if start > 0 else "", list[tuple[int, int]]()
    at = start
    for first, last in _merged_spans(hits, start, end):
        cut = _append_text(cut, text[at:first])
        begin = len(cut)
        cut = _append_text(cut, text[first:last])
        marks.append((begin, len(cut)))
        at = last
    cut = _append_text(cut, text[at:end]).rstrip()
    return Snippet(cut + (ELLIPSIS if end < len(text) else ""), tuple(marks))


def _merged_spans(hits: Sequence[_WordHit], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the hits between two places. Overlapping hits, such as pairs of characters, become one."""
    first = last = -1
    for hit in hits:
        if not start <= hit.start < hit.end <= end:
            continue
        if hit.start > last:
            if last >= 0:
                yield first, last
            first = hit.start
        last = hit.end
    if last >= 0:
        yield first, last


def _append_text(before: str, text: str) -> str:
    """Appends the text with each run of blanks as one blank, and none at the beginning."""
    text = _BLANKS.sub(" ", text)
    return before + (text.lstrip() if before.endswith(" ") or before in ("", ELLIPSIS) else text)


def _best_span(hits: Sequence[_WordHit], width: int) -> tuple[int, int]:
    """Returns the span of at most `width` characters with the most different words. The shortest wins a tie."""
    best, best_score = (0, 0), (0, 0)
    inside: Counter[str] = Counter()
    # A sliding window over the hits: its left end moves up while it is too wide, or while its first word recurs.
    left = 0
    for right, hit in enumerate(hits):
        inside[hit.lexeme] += 1
        while left < right and (hit.end - hits[left].start > width or inside[hits[left].lexeme] > 1):
            inside[hits[left].lexeme] -= 1
            left += 1
        span = (hits[left].start, hit.end)
        score = (sum(1 for count in inside.values() if count), span[0] - span[1])
        if best_score == (0, 0) or score > best_score:
            best, best_score = span, score
    return best


def _word_start(text: str, position: int) -> int:
    """Returns the beginning of the next word, so that no word is cut, unless it is very long."""
    if position == 0 or text[position - 1].isspace():
        return position
    nearby = range(position, min(position + LONGEST_WORD, len(text)))
    blank = next((at for at in nearby if text[at].isspace()), None)
    return position if blank is None else blank + 1


def _word_end(text: str, position: int) -> int:
    if position == len(text) or text[position].isspace():
        return position
    nearby = range(position - 1, max(position - LONGEST_WORD, 0), -1)
    blank = next((at for at in nearby if text[at].isspace()), None)
    return position if blank is None else blank
