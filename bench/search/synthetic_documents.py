"""Synthetic documents: chunks as long as real ones, word frequencies by Zipf's law, and a subject per document."""

import random
from collections.abc import Iterator
from itertools import accumulate

VOCABULARY_SIZE = 60_000
CHUNK_WORDS = 184
CHUNKS_PER_DOCUMENT = 20
SUBJECT_SHARE = 0.25
SUBJECT_WORDS = 60
_SYLLABLES = [first + second for first in "bcdfghklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "er", "ol")]


def vocabulary() -> list[str]:
    """Returns words, most frequent first. Everything in this module is the same at every call."""
    dice = random.Random(1)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY_SIZE:
        words["".join(dice.choices(_SYLLABLES, k=1 + min(len(words).bit_length() // 5, 3)))] = None
    return list(words)


class DocumentWriter:
    """Writes documents whose subject's words recur in every chunk."""

    def __init__(self) -> None:
        self.words = vocabulary()
        self.weights = list(accumulate(1 / (rank + 2.7) for rank in range(1, len(self.words) + 1)))

    def documents(self, count: int, first: int = 0) -> Iterator[tuple[str, list[str]]]:
        """Yields the name and the texts of the chunks of each document."""
        for number in range(first, first + count):
            dice = random.Random(f"document {number}")
            subject = dice.choices(self.words[50:], k=SUBJECT_WORDS)
            yield f"made-up-{number}", [self._chunk(dice, subject) for _ in range(CHUNKS_PER_DOCUMENT)]

    def _chunk(self, dice: random.Random, subject: list[str]) -> str:
        of_subject = int(CHUNK_WORDS * SUBJECT_SHARE)
        found = dice.choices(self.words, cum_weights=self.weights, k=CHUNK_WORDS - of_subject)
        found += dice.choices(subject, k=of_subject)
        dice.shuffle(found)
        return " ".join(found)
