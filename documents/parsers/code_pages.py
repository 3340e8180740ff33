"""Guesses the code page of a text that is not Unicode: Windows, ISO, DOS and Mac code pages, Chinese, Japanese, Korean.

Every candidate gets a score from two readings by chardet's statistics, and from the shape of its words:

1. the whole text: decides for prose in that language;
2. only the different words with bytes above 127: decides when an English text or a table has a few names or signs;
3. how often neighbours in these words do not go together, such as a Cyrillic letter after a Latin one, a capital after
   a small letter, or a currency sign within a word.

The weights were tuned on messages in 40 languages and 50 encodings.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import chardet

SAMPLE_BYTES = 200_000
WORDS_BYTES = 20_000
MAX_WORD = 200
"""A text in Chinese or Japanese is one long word."""

_SEPARATORS = re.compile(rb"[\s,;]+")
_HIGH = re.compile(rb"[\x80-\xff]")

_RARITY = {
    **dict.fromkeys(("cp1250", "cp1251"), -0.03),
    **dict.fromkeys(("cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"), 0.0),
    **dict.fromkeys(("iso8859-2", "iso8859-5", "iso8859-7", "iso8859-13", "koi8-r", "koi8-u"), 0.0),
    **dict.fromkeys(("cp737", "cp850", "cp852", "cp866", "cp1125", "mac-cyrillic"), 0.0),
    **dict.fromkeys(("big5hkscs", "cp932", "cp949", "euc_jis_2004", "gb18030"), 0.0),
    **dict.fromkeys(("cp437", "iso8859-15"), 0.01),
    **dict.fromkeys(("cp775", "cp857", "iso8859-6", "iso8859-8"), 0.03),
    **dict.fromkeys(("cp855", "cp860", "cp861", "cp862", "cp865", "mac-roman"), 0.05),
    **dict.fromkeys(("cp869", "cp1258"), 0.07),
    **dict.fromkeys(("cp720", "iso8859-4", "johab"), 0.1),
    **dict.fromkeys(("mac-greek", "mac-latin2", "mac-turkish"), 0.15),
}
"""The candidates. A common one needs less evidence."""
_SUCCESSORS = {"cp858": "cp850", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "euc_kr": "cp949"}
"""Encodings that differ in a few signs from a candidate, which is read instead."""
_ASKED = [*_RARITY, *_SUCCESSORS]

_WESTERN_BONUS = 1.0
_NOT_IN_WESTERN = set("ðþýÐÞÝ")
"""Letters of Icelandic only. In Turkish they are at the places of ğ, ş and ı."""
_FLOOR_OF_TEXT = 0.002
_FLOOR_OF_WORDS = 0.02
_PENALTY = 15
_MAX_MISFITS = 3


@dataclass(frozen=True)
class _Words:
    """The different words with bytes above 127, and their share of all words."""

    joined: bytes
    count: int
    share: float


def code_page_of(data: bytes) -> str | None:
    """Returns the encoding of a text with bytes above 127, or None if it fits none."""
    first = _HIGH.search(data)
    if first is None:
        return None
    start = max(0, first.start() - SAMPLE_BYTES // 2)  # a long text may be ASCII for most of its length
    sample = data[start : start + SAMPLE_BYTES]
    words = _high_words(sample)
    scores = _scores(sample, words)
    best, best_score = None, -math.inf
    for encoding in sorted(scores, key=scores.__getitem__, reverse=True):
        if scores[encoding] + _WESTERN_BONUS <= best_score:
            break  # the shape of the words can only lower the score
        score = scores[encoding] + _shape_score(words, encoding)
        if score > best_score:
            best, best_score = encoding, score
    return best


def _high_words(sample: bytes) -> _Words:
    every = _SEPARATORS.split(sample)
    high = [word[:MAX_WORD] for word in every if not word.isascii()]
    different = list(dict.fromkeys(high))
    return _Words(b" ".join(different)[:WORDS_BYTES], len(different), len(high) / len(every))


def _scores(sample: bytes, words: _Words) -> dict[str, float]:
    of_text, of_words = _confidences(sample), _confidences(words.joined)
    text_weight = 1.5 + 10 * words.share * min(1, words.count / 5)
    words_weight = 2 * words.count / (words.count + 1)
    return {
        encoding: text_weight * math.log(of_text.get(encoding, 0) + _FLOOR_OF_TEXT)
        + words_weight * math.log(of_words.get(encoding, 0) + _FLOOR_OF_WORDS)
        - _RARITY[encoding]
        for encoding in {*of_text, *of_words}
    }


def _confidences(text: bytes) -> dict[str, float]:
    """Returns chardet's confidence in each candidate, as a share of the highest one."""
    found: dict[str, float] = {}
    for match in chardet.detect_all(text, ignore_threshold=True, compat_names=False, include_encodings=_ASKED):
        encoding = match["encoding"] or ""
        encoding = _SUCCESSORS.get(encoding, encoding)
        if encoding in _RARITY:
            found[encoding] = max(found.get(encoding, 0), match["confidence"])
    highest = max(found.values(), default=0) or 1
    return {encoding: confidence / highest for encoding, confidence in found.items()}


def _shape_score(words: _Words, encoding: str) -> float:
    text = words.joined.decode(encoding, "replace")
    misfits = _misfits(text) / words.count
    bonus = _WESTERN_BONUS if encoding == "cp1252" and misfits <= 0.05 and _NOT_IN_WESTERN.isdisjoint(text) else 0
    return bonus - _PENALTY * min(misfits, _MAX_MISFITS)


def _misfits(text: str) -> float:
    """Counts neighbours that do not go together, and characters that do not belong in a text."""
    pairs = sum(_misfit(a, b) for a, b in pairwise(text) if a > "\x7f" or b > "\x7f")
    return pairs + sum(1 for each in text if each == "\ufffd" or "\x80" <= each <= "\x9f")


@lru_cache(maxsize=100_000)
def _misfit(first: str, second: str) -> float:
    if _is_letter(first) and _is_letter(second):
        is_bump = unicodedata.category(first) == "Ll" and unicodedata.category(second) == "Lu"
        return 1 if is_bump else _mixture(first, second)
    if _is_letter(first):
        return _misfit_after_letter(second)
    return _misfit_before_letter(first) if _is_letter(second) else 0


def _misfit_after_letter(sign: str) -> float:
    kind = unicodedata.category(sign)
    if sign in "©®™°€²³¹…" or sign in _JOINING:
        return 0
    if kind in {"Cc", "Cn", "Co", "Sm", "So", "Sk", "Sc", "No"} or sign in "¦‚„¿¡§¶":
        return 1
    if kind in {"Pi", "Ps"} and sign not in "([":
        return 0.5 if sign in "“‘«" else 1
    return _MISFIT_OF_MARKS if sign in _MARKS else 0


def _misfit_before_letter(sign: str) -> float:
    kind = unicodedata.category(sign)
    if sign in _JOINING:
        return 0
    if kind in {"Cc", "Cn", "Co", "Sm", "So", "Sk", "Sc", "No"} or sign == "¦":
        return 1
    if kind == "Pf":
        return 0.5
    return _MISFIT_OF_MARKS if sign in _MARKS else 0


_JOINING = "'’-\xad·‑\u200c\u200d\u200e\u200f"
_MARKS = "…‡†‰•"
_MISFIT_OF_MARKS = 0.3
_ALPHABETS = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI"}
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "FULLWIDTH", "HANGUL", "LATIN"}


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def _mixture(first: str, second: str) -> float:
    """Returns 1 for letters of alphabets that are not used together in a word. Latin beside East Asian ones is rare."""
    scripts = {_script(first), _script(second)}
    if len(scripts) == 1 or "" in scripts or scripts.isdisjoint(_ALPHABETS):
        return 0
    return _MISFIT_OF_MARKS if scripts <= _EAST_ASIAN else 1


def _script(letter: str) -> str:
    """Returns the first word of the letter's name, such as LATIN, or "" for marks, which any letter may have."""
    return unicodedata.name(letter, "?").split()[0] if unicodedata.category(letter)[0] == "L" else ""
