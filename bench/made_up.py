"""Made-up documents: as many words as real passages have, as frequent as words are, and each with its subject."""

import random
from collections.abc import Iterator
from itertools import accumulate

VOCABULARY = 60_000
WORDS = 184
CHUNKS = 20
OF_SUBJECT = 0.25
SUBJECT_WORDS = 60
_SYLLABLES = [first + second for first in "bcdfghklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "er", "ol")]


def vocabulary() -> list[str]:
    """The most frequent first. The same at every call, as all that is made here."""
    dice = random.Random(1)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        words["".join(dice.choices(_SYLLABLES, k=1 + min(len(words).bit_length() // 5, 3)))] = None
    return list(words)


class Writer:
    """Zipf's law, and a subject's words that come again and again in a document."""

    def __init__(self) -> None:
        self.words = vocabulary()
        self.weights = list(accumulate(1 / (rank + 2.7) for rank in range(1, len(self.words) + 1)))

    def documents(self, count: int, first: int = 0) -> Iterator[tuple[str, list[str]]]:
        """A name and the texts of the chunks."""
        for number in range(first, first + count):
            dice = random.Random(f"document {number}")
            subject = dice.choices(self.words[50:], k=SUBJECT_WORDS)
            yield f"made-up-{number}", [self._passage(dice, subject) for _ in range(CHUNKS)]

    def _passage(self, dice: random.Random, subject: list[str]) -> str:
        of_subject = int(WORDS * OF_SUBJECT)
        found = dice.choices(self.words, cum_weights=self.weights, k=WORDS - of_subject)
        found += dice.choices(subject, k=of_subject)
        dice.shuffle(found)
        return " ".join(found)
