"""Numbers of list items as letters and in Roman numerals."""

from collections.abc import Callable

Numeral = Callable[[int], str]

# fmt: off
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)
# fmt: on
MAX_ROMAN = 4_999


def letters(number: int) -> str:
    """Returns a to z, then aa, ab. A number below 1 stays as it is."""
    text, rest = "", number
    while rest > 0:
        rest, place = divmod(rest - 1, 26)
        text = chr(ord("a") + place) + text
    return text or str(number)


def roman(number: int) -> str:
    if not 0 < number <= MAX_ROMAN:
        return str(number)
    text = ""
    for value, numeral in _ROMAN:
        count, number = divmod(number, value)
        text += numeral * count
    return text


def _capital(numeral: Numeral) -> Numeral:
    return lambda number: numeral(number).upper()


NUMERALS: dict[str, Numeral] = {"a": letters, "A": _capital(letters), "i": roman, "I": _capital(roman)}
"""The numerals by their signs in HTML and OpenDocument."""
