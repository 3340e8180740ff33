"""Counts text in model tokens, and cuts it, with the vocabulary `o200k_base`.

The vocabulary takes about 140 MB of memory, so it is loaded only when an estimate is not enough.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

ENCODED_CHARS = 50_000  # at a time: the encoder refuses more than 200,000 tokens in one call
COUNTED_CHARS = 400_000


@cache
def encoding() -> Any:
    import bpe_openai  # the import alone takes 70 MB, and few runners ever count

    return bpe_openai.get_encoding("o200k_base")


def estimate(text: str) -> int:
    """Estimates the number of tokens without the vocabulary: for common scripts rather too high than too low."""
    wide = 0 if text.isascii() else sum(1 for char in text if ord(char) > 127)
    return (len(text) - wide) // 3 + wide + 1


def count(text: str) -> int:
    """Counts the first COUNTED_CHARS characters, and extrapolates for longer texts."""
    counted = sum(len(tokens) for tokens in _encoded(text[:COUNTED_CHARS]))
    return counted * max(len(text), COUNTED_CHARS) // COUNTED_CHARS


def cut(text: str, limit: int) -> str:
    """Returns the beginning of the text, of at most `limit` tokens. It ends with a line if that costs little."""
    kept: list[int] = []
    for tokens in _encoded(text):
        kept += tokens[: limit - len(kept)]
        if len(kept) >= limit:
            break
    head = str(encoding().decode(kept)).rstrip("\ufffd")
    line_end = head.rfind("\n")
    return head[:line_end] if line_end > len(head) * 0.9 else head


def _encoded(text: str) -> Iterator[list[int]]:
    for start in range(0, len(text), ENCODED_CHARS):
        yield encoding().encode_ordinary(text[start : start + ENCODED_CHARS])
