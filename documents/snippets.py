"""A passage's best part: a window around the question's words. `ts_headline` is a hundred times slower."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from documents.terms import WORD, fold

WIDTH = 300
ELLIPSIS = "…"
SHORTEST_STEM = 3
LONGEST_WORD = 30


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    lexeme: str


def snippet(text: str, lexemes: Sequence[str], width: int = WIDTH) -> str:
    """About `width` characters of `text` with as many of the words as possible, "…" where it was cut.

    Stems are recognised by how a word begins: PostgreSQL's stemmer is not here.
    """
    start, end = _best_span(_hits(text, lexemes), width)
    spare = max(width - (end - start), 0)
    start = max(start - spare // 2, 0)
    end = min(start + width, len(text))
    start = max(min(start, end - width), 0)
    start, end = _word_start(text, start), _word_end(text, end)
    cut = " ".join(text[start:end].split())
    return (ELLIPSIS if start > 0 else "") + cut + (ELLIPSIS if end < len(text) else "")


def _hits(text: str, lexemes: Sequence[str]) -> list[_Hit]:
    found = []
    for match in WORD.finditer(text):
        word = fold(match.group())
        lexeme = next((stem for stem in lexemes if _is_form_of(word, stem)), None)
        if lexeme is not None:
            found.append(_Hit(match.start(), match.end(), lexeme))
    return found


def _is_form_of(word: str, stem: str) -> bool:
    if word == stem or (len(stem) >= SHORTEST_STEM and word.startswith(stem)):
        return True
    # `happy` has the stem `happi`.
    return stem.endswith("i") and word == stem[:-1] + "y"


def _best_span(hits: Sequence[_Hit], width: int) -> tuple[int, int]:
    """The stretch of at most `width` characters with the most different words; of equal ones the shortest."""
    best, best_score = (0, 0), (0, 0)
    inside: Counter[str] = Counter()
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
    """The beginning of the next word, so that none is cut; a long run without blanks is."""
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
