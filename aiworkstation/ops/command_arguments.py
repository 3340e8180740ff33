"""Types of command-line arguments that have a range: argparse names the argument of a wrong value, and exits with 2."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and minimum <= int(text) <= maximum):
            raise ArgumentTypeError(f"must be a whole number from {minimum} to {maximum:,}, not {text!r}")
        return int(text)

    return parse


def short_text(maximum: int, *, blank: bool = False) -> Callable[[str], str]:
    """A text that fits into its column."""

    def parse(text: str) -> str:
        if not blank and not text.strip():
            raise ArgumentTypeError("must not be empty")
        if len(text) > maximum:
            raise ArgumentTypeError(f"has {len(text)} characters; at most {maximum} are allowed")
        return text.strip()

    return parse
