"""Other forms of words: those written with or without blanks, hyphens and dots, and those that end in a sign.

| in the text | forms |
|---|---|
| `PPR-9087`, `12/34-B` | also as one word: `ppr9087`, `1234b` |
| `DE89 3704 0044 0532 0130 00`, `030 / 123 45-67` | likewise, and parts of a phone number, as the code may be missing |
| `0049 30 1234567` | likewise without the zeros, as after `+` |
| `U.S.A.`, `J. K.` | only as one word: `usa`, `jk` |
| `Wi-Fi`, `Ph.D.`, `O'Brien` | also as one word: `wifi`, `phd`, `obrien` |
| `1,234,567.50`, `1'234` | also without what parts the thousands: `1234567` |
| `C++`, `F#`, `A+`, `.NET` | also with the sign |
| `10²`, `m^2` | also with the power: `10^2`; `m2` for a unit |

Dates, decimal numbers and addresses of networks have no other forms.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_JOINED = 40
MIN_DIGITS, MAX_DIGITS = 7, 20
"""The digits of a number with other forms, such as a phone number. Shorter ones are parts of tables and decimals."""
MAX_PARTS, MAX_GROUPS = 4, 7
"""Longer runs of parts and of groups of digits are joined as a whole, or not at all."""
UNIT = 3
THOUSAND = 3
IBAN_GROUP = 4


class Form(NamedTuple):
    """Another form of `span` words, starting at word number `first` of the special."""

    text: str
    first: int = 0
    span: int = 1

    @property
    def is_sign(self) -> bool:
        """Whether the form is the word with a sign, not several words as one."""
        return not self.text.isalnum()


class Special(NamedTuple):
    """A part of a folded text. `word` is set if it is a single word although it has dots."""

    start: int
    end: int
    forms: Sequence[Form]
    word: str | None = None


_LETTER = "[a-zß-\u052f]"
_LATIN = "[a-zß-\u024f]"
_PART = "[0-9a-zß-\u052f]"
_SPECIAL = re.compile(
    rf"(?<![\w.])(?P<acronym>{_LETTER}(?:\.{_LETTER})+(?!\w)\.?|{_LETTER}\.(?:[ ]{_LETTER}\.)+(?!\w))"
    rf"|(?<!\w)(?:(?P<iban>[a-z]{{2}}\d\d(?:[ -]?[a-z0-9]{{4}}){{2,7}}(?:[ -]?[a-z0-9]{{1,3}})?(?!\w))"
    rf"|(?P<thousands>\d{{1,3}}(?:(?P<mark>[,'.])\d{{3}}(?:(?P=mark)\d{{3}})*)(?:[.,]\d{{1,2}})?(?![-./_,']?{_PART}))"
    rf"|(?P<number>\d+(?:(?:\)?[ ./-]{{1,3}}\(?|[()])\d+)+(?![-./_]?{_PART}))"
    rf"|(?P<abroad>00[1-9]\d{{7,13}}(?!\w))"
    rf"|(?P<code>{_PART}++(?:[-./_]{_PART}++)+)"
    rf"|(?P<apostrophe>{_LATIN}++'{_LATIN}++(?![\w']))"
    rf"|(?P<sign>{_PART}++(?:(?:\+\+|\#)(?![+#]|\d{{3}})|\+(?![\w+])|\^\d+)))"
    rf"|(?<![\w.)\]])(?P<dot>\.{_LETTER}{_PART}*+)(?![.\w])"
)
_RARE = re.compile(rf"[0-9+#^.'-](?:(?<=[0-9+#^])|(?={_LETTER})|(?<=\W{_LETTER}\.)|(?<=\A{_LETTER}\.))")
"""Every special has one of these characters, or begins with a word that has one. They are found much faster."""
_BEGIN = re.compile(rf"{_PART}+|\.(?={_LETTER})")
_REST = re.compile(rf"{_PART}*+")
_WORD = re.compile(r"[^\W_]+")
_DATE = re.compile(r"\d{4}[-./]\d\d?[-./]\d\d?(?!\d)|\d\d?[-./]\d\d?[-./](?:\d{4}(?!\d)|\d\d(?![-./]?\d))")
_TITLE = re.compile(rf"(?=(?:.*\.)?{_LETTER}(?:\.|$)){_LETTER}{{1,4}}\.{_LETTER}{{1,4}}")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


def specials(folded: str) -> Iterator[Special]:
    """Yields the parts of a folded text that have other forms."""
    at = 0
    for rare in _RARE.finditer(folded):
        if rare.start() < at:
            continue
        begin = max(at, folded.rfind(" ", at, rare.start()) + 1)
        match = _match_between(folded, begin, rare.start())
        if match is None:
            # All words that begin before have been tried. A text without blanks would take quadratic time otherwise.
            at = max(rare.start() + 1, _REST.match(folded, rare.start()).end())  # type: ignore[union-attr]
            continue
        at = match.end()
        kind, text = str(match.lastgroup), match.group()
        if kind == "acronym":
            yield Special(*match.span(), (), "".join(_WORD.findall(text)))
        elif forms := list(dict.fromkeys(_FORMS[kind](text))):
            yield Special(*match.span(), forms)


def _match_between(folded: str, begin: int, last: int) -> re.Match[str] | None:
    """Returns the first special that begins within these places."""
    for word in _BEGIN.finditer(folded, begin):
        if word.start() > last:
            return None
        if match := _SPECIAL.match(folded, word.start()):
            return match
    return None


def _iban_forms(text: str) -> Iterator[Form]:
    """Yields the whole, up to the place where its check digits are right or to its last group with a digit."""
    groups = _WORD.findall(text)
    ends = range(len(groups), 0, -1)
    valid = next((end for end in ends if _is_valid_iban("".join(groups[:end]))), None)
    end = valid or next(end for end in ends if any(map(str.isdigit, groups[end - 1])))
    if end > 1:
        yield Form("".join(groups[:end]), 0, end)


def _is_valid_iban(text: str) -> bool:
    return int("".join(str(int(char, 36)) for char in text[IBAN_GROUP:] + text[:IBAN_GROUP])) % 97 == 1


def _number_forms(text: str) -> Iterator[Form]:
    groups = _WORD.findall(text)
    if _DATE.match(text) or _ADDRESS.fullmatch(text) or len(groups) > MAX_GROUPS:
        return
    for form in _joined(groups, MIN_DIGITS, MAX_DIGITS):
        yield form
        if form.text.startswith("00"):
            yield form._replace(text=form.text[2:])
    if "(0)" in text:
        at = groups.index("0")
        without = groups[:at] + groups[at + 1 :]
        yield Form("".join(without), 0, len(groups))


def _thousands_forms(text: str) -> Iterator[Form]:
    groups = _WORD.findall(text)
    if _ADDRESS.fullmatch(text) or len(text) > MAX_JOINED:
        return
    count = next((number for number, group in enumerate(groups) if number and len(group) < THOUSAND), len(groups))
    yield Form("".join(groups[:count]), 0, count)


def _apostrophe_forms(text: str) -> Iterator[Form]:
    """Yields the whole of a name or a contraction, not a word with an article (l'eau) or in the genitive."""
    first, last = text.split("'")
    if last != "s" and (len(first) > 1 or first == "o") and len(text) <= MAX_JOINED:
        yield Form(first + last, 0, 2)


def _abroad_forms(text: str) -> Iterator[Form]:
    yield Form(text[2:])


def _code_forms(text: str) -> Iterator[Form]:
    parts = _WORD.findall(text)
    if not any(map(str.isdigit, text)):
        if len(text) <= MAX_JOINED and ((len(parts) == 2 and "-" in text) or _TITLE.fullmatch(text)):
            yield Form("".join(parts), 0, 2)
        return
    if _DATE.match(text):
        return
    found = _joined(parts, 1, MAX_JOINED) if len(parts) <= MAX_PARTS else [Form("".join(parts), 0, len(parts))]
    for form in found:
        is_code = not (form.text.isalpha() or form.text.isdigit())
        if len(form.text) <= MAX_JOINED and (is_code or (form.text.isdigit() and len(form.text) >= MIN_DIGITS)):
            yield form


def _joined(parts: Sequence[str], least: int, most: int) -> Iterator[Form]:
    """Yields the runs of two parts or more as one word."""
    for first in range(len(parts)):
        for end in range(first + 2, len(parts) + 1):
            text = "".join(parts[first:end])
            if least <= len(text) <= most:
                yield Form(text, first, end - first)


def _sign_forms(text: str) -> Iterator[Form]:
    word, caret, power = text.partition("^")
    if word.rstrip("+#").isdigit() and not caret:  # 18+
        return
    yield Form(text)
    if caret and len(word) <= UNIT and word.isalpha():
        yield Form(word + power)


def _dot_forms(text: str) -> Iterator[Form]:
    yield Form(text)


_FORMS = {
    "iban": _iban_forms,
    "thousands": _thousands_forms,
    "number": _number_forms,
    "apostrophe": _apostrophe_forms,
    "abroad": _abroad_forms,
    "code": _code_forms,
    "sign": _sign_forms,
    "dot": _dot_forms,
}
