"""Numbers and dates as a spreadsheet program shows them, by Excel's number formats: 15.5%, 00501, 15.03.2024.

No maintained library renders these formats. The rules are those of ISO/IEC 29500-1, 18.8.31. Decimal points and the
names of months are English. Formats that follow the reader's own settings, such as the short date, give ISO dates.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import takewhile

GENERAL = "General"
MAX_DIGITS = 15
"""Excel's precision."""
MAX_EXACT_INTEGER = 2**53
"""Integers below this are exact as floating-point numbers."""
MAX_DATE = 2_950_000
"""A day in the year 9976. Excel's last day is in 9999, as is Python's."""
MAX_FORMAT = 1_000
"""Excel's own limit for a format is 255 characters."""

# fmt: off
BUILT_IN = {
    0: GENERAL, 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: '"$"#,##0;-"$"#,##0', 6: '"$"#,##0;-"$"#,##0',
    7: '"$"#,##0.00;-"$"#,##0.00', 8: '"$"#,##0.00;-"$"#,##0.00', 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd hh:mm", **dict.fromkeys((*range(27, 37), *range(50, 59)), "yyyy-mm-dd"),
    32: "h:mm", 33: "h:mm:ss", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 41: '#,##0;-#,##0;"-"', 42: '"$"#,##0;-"$"#,##0;"$-"', 43: '#,##0.00;-#,##0.00;"-"',
    44: '"$"#,##0.00;-"$"#,##0.00;"$-"', 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}
"""The formats that no file needs to define. 14 and 22 follow the reader's settings."""
# fmt: on

_TOKENS = re.compile(
    r"""
    "(?P<quoted>[^"]*)"? | \\(?P<escaped>.) | _(?P<space>.) | \*(?P<fill>.) | \[(?P<bracket>[^\]]*)\]
    | (?P<general>General) | (?P<half>AM/PM|A/P) | (?P<exponent>E[+-]) | (?P<date>y+|m+|d+|h+|s+|e+|g+)
    | (?P<digit>[0#?]) | (?P<sign>[.,%/@]) | (?P<literal>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[\d.]+(?:[eE][+-]?\d+)?)")
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SECONDS_PER_DAY = 86_400
_FIRST_LEAP_DAY = 60
"""Excel's day of this number is February 29, 1900, which never was. Days before it count from 1899."""

Token = tuple[str, str]
"""A kind, which is a group of `_TOKENS`, and its text."""


@dataclass(frozen=True)
class _Section:
    """A part of a format, for some of the numbers. `is_below` are its conditions."""

    tokens: tuple[Token, ...]
    condition: tuple[str, float] | None
    is_date: bool

    def accepts(self, value: float) -> bool:
        if self.condition is None:
            return True
        sign, limit = self.condition
        return {
            "<": value < limit,
            "<=": value <= limit,
            ">": value > limit,
            ">=": value >= limit,
            "=": value == limit,
            "<>": value != limit,
        }[sign]


def general(value: float) -> str:
    """Returns a number as people write it: no `.0` after integers, no digits beyond Excel's precision."""
    value = float(value)
    is_whole = value.is_integer() and abs(value) < MAX_EXACT_INTEGER
    return str(int(value)) if is_whole else f"{value:.{MAX_DIGITS}g}"


def shown(value: float, code: str, *, is_1904: bool = False) -> str:
    """Returns the number in the format `code`. Dates count days from 1900, or from 1904."""
    if code in {GENERAL, "@", ""} or len(code) > MAX_FORMAT or value != value or abs(value) == float("inf"):
        return general(value)
    value = float(value)
    section, is_signed = _section_for(value, _sections(code))
    if section is None:
        return general(value)
    if section.is_date:
        return _date_text(value, section, is_1904)
    text = _number_text(abs(value), section)
    return f"-{text}" if is_signed and any(digit in text for digit in "123456789") else text


def shown_text(text: str, code: str) -> str:
    """Returns a text in its format, which may add words around it."""
    if "@" not in code or code == "@" or len(code) > MAX_FORMAT:
        return text
    section = _sections(code)[-1]
    parts = (text if part == ("sign", "@") else _literal(part) for part in section.tokens)
    return "".join(parts).strip()


@lru_cache(1_000)
def _sections(code: str) -> tuple[_Section, ...]:
    sections: list[list[Token]] = [[]]
    for match in _TOKENS.finditer(code):
        kind = match.lastgroup or "literal"
        if kind == "literal" and match[0] == ";":
            sections.append([])
        else:
            sections[-1].append((kind, match[kind] or ""))
    return tuple(map(_section, sections[:4]))


def _section(tokens: list[Token]) -> _Section:
    condition, kept, is_date = None, [], False
    for kind, text in tokens:
        if kind == "bracket":
            if found := _CONDITION.fullmatch(text.strip()):
                condition = (found[1], float(found[2]))
            elif text.startswith("$"):
                kept.append(("quoted", text[1:].partition("-")[0]))
            elif _ELAPSED.fullmatch(text):
                kept.append(("elapsed", text.lower()))
                is_date = True
            continue
        is_date |= kind in {"date", "half"}
        kept.append((kind, text))
    return _Section(tuple(kept), condition, is_date)


def _section_for(value: float, sections: tuple[_Section, ...]) -> tuple[_Section | None, bool]:
    """Returns the section for this number, and whether the number keeps its minus sign there."""
    numeric = sections[:3]
    if any(section.condition for section in numeric):
        found = next((section for section in numeric if section.accepts(value)), None)
        return found, value < 0 and not (found and found.condition and found.condition[0] in {"<", "<="})
    if len(numeric) == 1:
        return numeric[0], value < 0
    if value < 0:
        return numeric[1], False
    if value == 0 and len(numeric) > 2:
        return numeric[2], False
    return numeric[0], False


def _literal(token: Token) -> str:
    kind, text = token
    return {"space": " ", "fill": "", "general": "", "elapsed": ""}.get(kind, text)


# Dates and times


def _date_text(value: float, section: _Section, is_1904: bool) -> str:
    if not 0 <= value < MAX_DATE:
        return general(value)
    step = Decimal(1).scaleb(-_digits_of_seconds(section.tokens))
    seconds = (Decimal(repr(value)) * _SECONDS_PER_DAY).quantize(step, ROUND_HALF_UP)
    moment = _epoch(value, is_1904) + timedelta(seconds=float(seconds))
    has_halves = any(kind == "half" for kind, _ in section.tokens)
    parts = _with_minutes(section.tokens)
    return " ".join("".join(_date_parts(parts, moment, seconds, has_halves)).split())


def _digits_of_seconds(tokens: tuple[Token, ...]) -> int:
    """Returns how many digits follow the seconds, as in `ss.00`."""
    for place, (kind, text) in enumerate(tokens):
        if kind in {"date", "elapsed"} and text[0] in "sS" and tokens[place + 1 : place + 2] == (("sign", "."),):
            return min(sum(1 for _ in takewhile(lambda token: token == ("digit", "0"), tokens[place + 2 :])), 6)
    return 0


def _epoch(value: float, is_1904: bool) -> datetime:
    if is_1904:
        return datetime(1904, 1, 1)
    return datetime(1899, 12, 30) if value >= _FIRST_LEAP_DAY else datetime(1899, 12, 31)


def _with_minutes(tokens: tuple[Token, ...]) -> list[Token]:
    """Distinguishes minutes from months: minutes follow hours, or come before seconds."""
    parts = [("date", text.lower()) if kind == "date" else (kind, text) for kind, text in tokens]
    places = [place for place, (kind, _) in enumerate(parts) if kind in {"date", "elapsed"}]
    for number, place in enumerate(places):
        kind, text = parts[place]
        before = parts[places[number - 1]][1][0] if number else ""
        after = parts[places[number + 1]][1][0] if number + 1 < len(places) else ""
        if kind == "date" and text in {"m", "mm"} and (before == "h" or after == "s"):
            parts[place] = ("minutes", text)
    return parts


def _date_parts(parts: list[Token], moment: datetime, seconds: Decimal, has_halves: bool) -> Iterator[str]:
    fraction = iter("")
    for kind, text in parts:
        if kind == "date":
            yield _date_part(text, moment, has_halves)
        elif kind == "minutes":
            yield f"{moment.minute:0{len(text)}}"
        elif kind == "elapsed":
            unit = {"h": 3600, "m": 60, "s": 1}[text[0]]
            yield f"{int(seconds // unit):0{len(text)}}"
        elif kind == "half":
            half = "AM" if moment.hour < 12 else "PM"
            yield half if "M" in text.upper() else half[0]
        elif (kind, text) == ("sign", "."):
            fraction = iter(f"{moment.microsecond:06}")
            yield "."
        elif kind == "digit":
            yield next(fraction, "")
        else:
            yield _literal((kind, text))


def _date_part(text: str, moment: datetime, has_halves: bool) -> str:
    letter, length = text[0], len(text)
    if letter in "ye":
        return f"{moment.year % 100:02}" if letter == "y" and length <= 2 else f"{moment.year:04}"
    if letter == "m":
        name = _MONTHS[moment.month - 1]
        return {1: f"{moment.month}", 2: f"{moment.month:02}", 3: name[:3], 5: name[:1]}.get(length, name)
    if letter == "d":
        name = _DAYS[moment.weekday()]
        return {1: f"{moment.day}", 2: f"{moment.day:02}", 3: name[:3]}.get(length, name)
    if letter == "h":
        hour = (moment.hour % 12 or 12) if has_halves else moment.hour
        return f"{hour:0{min(length, 2)}}"
    return f"{moment.second:0{min(length, 2)}}" if letter == "s" else ""


# Numbers


def _number_text(value: float, section: _Section) -> str:
    tokens = section.tokens
    if any(kind == "general" for kind, _ in tokens):
        return "".join(general(value) if kind == "general" else _literal((kind, text)) for kind, text in tokens).strip()
    if not any(kind == "digit" for kind, _ in tokens):
        return "".join(_literal(token) for token in tokens if token != ("sign", "@")).strip()
    number = Decimal(f"{value:.{MAX_DIGITS}g}") * 100 ** tokens.count(("sign", "%"))
    try:
        if any(kind == "exponent" for kind, _ in tokens):
            text = _scientific(number, tokens)
        elif ("sign", "/") in tokens:
            text = _fraction(number, tokens)
        else:
            text = _decimal(number, tokens)
    except (InvalidOperation, OverflowError):
        return general(value)
    return " ".join(text.split())


def _decimal(number: Decimal, tokens: tuple[Token, ...]) -> str:
    before, after = _split(tokens, ("sign", "."))
    (before, thousands), (after, more) = _scale(before), _scale(after)
    decimals = _count_digits(after)
    number = number.scaleb(-3 * (thousands + more)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    whole, _, rest = f"{number:f}".partition(".")
    point = "." if len(before) < len(tokens) and ("sign", ".") in tokens else ""
    return _whole(whole.lstrip("0"), before) + point + _rest(rest, after)


def _scale(tokens: tuple[Token, ...]) -> tuple[tuple[Token, ...], int]:
    """Returns the tokens without the commas after the last digit, which divide by a thousand each."""
    last = max((place for place, (kind, _) in enumerate(tokens) if kind == "digit"), default=-1)
    commas = sum(1 for _ in takewhile(lambda token: token == ("sign", ","), tokens[last + 1 :]))
    return tokens[: last + 1] + tokens[last + 1 + commas :], commas if last >= 0 else 0


def _split(tokens: tuple[Token, ...], mark: Token) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
    if mark not in tokens:
        return tokens, ()
    place = tokens.index(mark)
    return tokens[:place], tokens[place + 1 :]


def _count_digits(tokens: tuple[Token, ...]) -> int:
    return sum(kind == "digit" for kind, _ in tokens)


def _whole(digits: str, tokens: tuple[Token, ...]) -> str:
    """Writes the digits before the point into their places, from the right. The first place takes what is left over."""
    places = [place for place, (kind, _) in enumerate(tokens) if kind == "digit"]
    has_thousands = bool(places) and ("sign", ",") in tokens[places[0] : places[-1]]
    written: list[str] = []
    count = 0
    for place in range(len(tokens) - 1, -1, -1):
        kind, text = tokens[place]
        if kind != "digit":
            written.append("" if (kind, text) == ("sign", ",") and has_thousands else _literal((kind, text)))
            continue
        taken = digits if place == places[0] else digits[-1:]
        digits = digits[: len(digits) - len(taken)]
        for digit in reversed(taken or {"0": "0", "?": " "}.get(text, "")):
            written.append("," if has_thousands and count and count % 3 == 0 and digit != " " else "")
            written.append(digit)
            count += 1
    return "".join(reversed(written)) if places else "".join(map(_literal, tokens)) + digits


def _rest(digits: str, tokens: tuple[Token, ...]) -> str:
    """Writes the digits after the point. `#` and `?` hide zeros at the end."""
    needed = len(digits.rstrip("0"))
    written, count = [], 0
    for kind, text in tokens:
        if kind != "digit":
            written.append(_literal((kind, text)))
            continue
        is_hidden = count >= needed and text != "0" and not _has_zero_after(tokens, count)
        written.append({"#": "", "?": " "}[text] if is_hidden else digits[count : count + 1] or "0")
        count += 1
    return "".join(written)


def _has_zero_after(tokens: tuple[Token, ...], count: int) -> bool:
    return "0" in [text for kind, text in tokens if kind == "digit"][count:]


def _scientific(number: Decimal, tokens: tuple[Token, ...]) -> str:
    place = next(place for place, (kind, _) in enumerate(tokens) if kind == "exponent")
    mantissa, power = tokens[:place], tokens[place + 1 :]
    whole, rest = _split(mantissa, ("sign", "."))
    step = max(_count_digits(whole), 1)
    exponent = (number.adjusted() // step) * step if number else 0
    scaled = number.scaleb(-exponent)
    if scaled.quantize(Decimal(1).scaleb(-_count_digits(rest)), ROUND_HALF_UP) >= Decimal(10) ** step:
        exponent += step
        scaled = number.scaleb(-exponent)
    sign = "-" if exponent < 0 else "+" if tokens[place][1].endswith("+") else ""
    return f"{_decimal(scaled, mantissa)}E{sign}{_whole(str(abs(exponent)).lstrip('0'), power)}"


def _fraction(number: Decimal, tokens: tuple[Token, ...]) -> str:
    place = tokens.index(("sign", "/"))
    top, bottom = tokens[:place], tokens[place + 1 :]
    fixed = "".join(text for kind, text in bottom if text.isdecimal())
    width = _count_digits(bottom)
    exact = Fraction(number)
    groups = _digit_groups(top)
    whole = int(exact) if groups > 1 else 0
    rest = exact - whole
    if fixed.strip("0"):
        denominator = int(fixed)
        numerator = int(Decimal(float(rest) * denominator).quantize(Decimal(1), ROUND_HALF_UP))
    else:
        nearest = rest.limit_denominator(10 ** max(width, 1) - 1)
        numerator, denominator = nearest.numerator, nearest.denominator
    if numerator == denominator and groups > 1:
        whole, numerator = whole + 1, 0
    if groups > 1 and numerator == 0:
        return str(whole)
    return f"{whole} {numerator}/{denominator}" if whole else f"{numerator}/{denominator}"


def _digit_groups(tokens: tuple[Token, ...]) -> int:
    """Returns how many groups of digits there are: two if the whole number is apart from the fraction."""
    groups, was_digit = 0, False
    for kind, _ in tokens:
        groups += kind == "digit" and not was_digit
        was_digit = kind == "digit"
    return groups
