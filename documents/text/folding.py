"""Folding: different spellings that readers take for the same become the same characters, in texts and questions.

Case, accents, ligatures and wide letters are folded by Unicode's own tables. Unicode does not decompose letters with a
stroke (Łódź, Søren), nor does it equate the letters that Arabic and Persian keyboards have for one another.
"""

import re
import unicodedata
from functools import lru_cache

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
SHORT_RUN, MAX_RUNS = 8, 4096

# Soft hyphens, zero-width blanks and joiners, direction marks and the Arabic tatweel are not part of a word.
_DIRECTION = (0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = dict.fromkeys([0xAD, 0x640, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *_DIRECTION])
# Accents of Latin, Greek and Cyrillic, and the vowel points of Arabic and Hebrew, which most texts leave out. Hamza and
# madda above or below a letter are among them. The maqaf, paseq and sof pasuq of Hebrew are punctuation.
# Marks of other scripts count as letters.
_HEBREW_POINTS = {*range(0x591, 0x5C8)} - {0x5BE, 0x5C0, 0x5C3, 0x5C6}
_ARABIC_MARKS = (*range(0x610, 0x61B), *range(0x64B, 0x660), 0x670, *range(0x6D6, 0x6DD), *range(0x6DF, 0x6E5))
_ACCENTS = dict.fromkeys([*range(0x300, 0x370), *_HEBREW_POINTS, *_ARABIC_MARKS, 0x6E7, 0x6E8, *range(0x6EA, 0x6EE)])
# й, ў and ї are separate letters.
_CYRILLIC_LETTERS = re.compile("[ИиУу]\u0306|[Іі]\u0308")

# Before Unicode's compatibility forms, which would make Kevlar™ `kevlartm`, 10² `102` and 12½ `121/2`.
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
_SUPERSCRIPT_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_SEPARATE = dict.fromkeys("™℠®©", " ") | {char: f" {char}" for char in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅟↉"}
_APOSTROPHES = dict.fromkeys("‘’‛ʼʹ′´`＇׳", "'") | dict.fromkeys("ʻʽʾʿ", "") | {"״": '"'}
_YIDDISH = {"װ": "וו", "ױ": "וי", "ײ": "יי"}
_SIGNS = str.maketrans(_SEPARATE | _APOSTROPHES | _YIDDISH | dict.fromkeys("‐‑‒–−﹣－", "-"))


def _plain_letters() -> dict[int, str]:
    """Returns the plain letters for those with a stroke, hook or the like, which Unicode does not decompose."""
    found = {}
    for place in (*range(0x80, 0x250), *range(0x1D00, 0x1EFF), *range(0x2C60, 0x2C80), *range(0xA720, 0xA7FF)):
        name = re.fullmatch("LATIN SMALL LETTER ([A-Z]) WITH .*", unicodedata.name(chr(place), ""))
        if name and not unicodedata.decomposition(chr(place)):
            found[place] = name[1].lower()
    special = {"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i", "ȷ": "j", "ŋ": "n", "ĸ": "k", "ə": "e"}
    return found | {ord(letter): plain for letter, plain in special.items()}


_ARABIC_LETTERS = str.maketrans(
    {
        **dict.fromkeys("ىیېۍےئ", "ي"),
        **dict.fromkeys("کڪګ", "ك"),
        **dict.fromkeys("ةەہۃھۀ", "ه"),
        **dict.fromkeys("أإآٱٲٳ", "ا"),
        "ؤ": "و",
    }
)


def _digits() -> dict[int, str]:
    """Returns the digits of other scripts."""
    places = (place for place in range(0x600, 0x1FC00) if unicodedata.category(chr(place)) == "Nd")
    return {place: str(unicodedata.digit(chr(place))) for place in places}


_PLAIN = _plain_letters() | _ARABIC_LETTERS | _digits()


def fold(text: str) -> str:
    """Folds case, accents and variants: `Straße` → `strasse`, `Łódź` → `lodz`, `ﬁne` → `fine`, `١٢` → `12`.

    A raised number follows a caret: `10²` → `10^2`. Apostrophes become `'`.
    """
    if text.isascii():
        return text.lower()
    return _NOT_ASCII.sub(_fold_run, text.lower())


def fold_with_places(text: str) -> tuple[str, list[int]]:
    """Returns the folded text, and for each of its characters, and for its end, the place in the text."""
    folded: list[str] = []
    places: list[int] = []
    at = 0
    text = text.replace("İ", "i").lower()  # İ is the only letter that becomes longer
    for run in _NOT_ASCII.finditer(text):
        folded.append(text[at : run.start()])
        places += range(at, run.start())
        for cluster in _CLUSTER.finditer(run.group()):
            plain = _fold_short(cluster.group())
            folded.append(plain)
            places += [run.start() + cluster.start()] * len(plain)
        at = run.end()
    folded.append(text[at:])
    places += range(at, len(text) + 1)
    return "".join(folded), places


_COMPOSING = "\u0300-\u036f\u3099\u309a\uff9e\uff9f\u093c\u09bc\u0a3c\u0b3c"
_CLUSTER = re.compile(rf"[⁰¹²³⁴-⁹]+|[\u1100-\u11ff]+|.[{_COMPOSING}]*", re.DOTALL)
"""What Unicode composes: a character with its marks, and a run of Korean letters."""


def _fold_run(match: re.Match[str]) -> str:
    """Folds a run of non-ASCII characters alone. A mark that would combine with the letter before it is dropped."""
    run = match.group()
    return _fold_short(run) if len(run) <= SHORT_RUN else _fold(run)


def _fold(text: str) -> str:
    marked = _SUPERSCRIPT_RUN.sub(_after_caret, text).translate(_SIGNS)
    decomposed = _CYRILLIC_LETTERS.sub(_compose, unicodedata.normalize("NFKD", marked))
    plain = decomposed.translate(_INVISIBLE).translate(_ACCENTS)
    return unicodedata.normalize("NFC", plain.casefold().translate(_PLAIN))


_fold_short = lru_cache(MAX_RUNS)(_fold)


def _after_caret(match: re.Match[str]) -> str:
    return "^" + "".join(_SUPERSCRIPTS[digit] for digit in match.group())


def _compose(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match.group())
