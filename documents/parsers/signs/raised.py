"""Raised text in plain text: 10⁶ and revenue¹. Without this, they would read as 106 and revenue1.

Lowered text stays as it is: H2O.
"""

import re

from documents.parsers.signs.symbol_fonts import symbols

_LETTERED_NOTE = re.compile(r"\([a-z]{1,2}\)", re.IGNORECASE)
"""The mark of a note, such as (a). Nobody reads it as a part of the word before it."""
_RAISED = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")


def superscript(text: str) -> str:
    """Returns raised text with characters that are raised by themselves, or after `^` if there are none.

    Words stay as they are, such as those of 1st and Kevlar TM, and so do marks, such as * and †.
    """
    raised = text.strip()
    if not raised:
        return text
    return text.replace(raised, _superscript(raised))


def as_drawn(text: str, font: str, *, is_raised: bool) -> str:
    """Returns the text of a run as a reader sees it: signs of a symbol font, and raised text raised."""
    text = symbols(text, font)
    return superscript(text) if is_raised else text


def _superscript(text: str) -> str:
    letters = sum(map(str.isalpha, text))
    if text.startswith("[") or _LETTERED_NOTE.fullmatch(text):
        return text
    if letters == 0 or text in {"n", "i"}:
        return text.translate(_RAISED)
    if letters == len(text) == 1:
        return f"^{text}"
    if letters == len(text) or " " in text:
        return text
    return f"^{text}" if text.startswith("(") and text.endswith(")") else f"^({text})"
