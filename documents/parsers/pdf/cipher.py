"""Fonts without a table of letters: detects what is not text, and reads it if the numbers of the letters allow that.

Such a font numbers its letters. Readers then return the numbers in some form: as control characters, as the letters
that have these numbers elsewhere (`6R` for `So`), or as names (`/G54/G68`, `/g18/g152`, `(cid:12)`). Often the numbers
are those of ASCII, or all differ from them by the same amount. Whether that is so shows in pairs of letters: they are
much the same in all languages that use Latin letters, and quite different in a text that is shifted.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import add
from unicodedata import combining, normalize

MIN_PAIRS = 10
"""A text with fewer pairs of letters is judged by the shape of its words."""
MIN_PAIRS_TO_DECIPHER = 20
MIN_PAIRS_TO_DOUBT = 60
MIN_SHARE_OF_PAIRS = 0.5
"""Texts in Latin letters have 55 to 85 % of the pairs below, shifted texts 15 %."""
MAX_SHARE_OF_SHIFTED_PAIRS = 0.3
MAX_SHARE_TO_DOUBT = 0.25
"""No language in Latin letters has fewer usual pairs: of 300, the lowest is 28 %."""
MIN_SHARE_OF_LETTERS = 0.6
MIN_SHARE_OF_PLAIN_WORDS = 0.6
MIN_SHARE_OF_KANA = 0.2
MAX_SHARE_OF_NAMES = 0.3
MAX_SHARE_OF_SLASHES = 0.22
SAME_SHARE = 0.95
SAMPLE = 2_000
DECIPHERED_SAMPLE = 500

_USUAL = (
    "in re er th an on no te en he or at ti es ar nt st al se it nd ra co le me is to de ed io ng ma ri un ro ne"
    " ta li ve ec ou ll la et om ce of di as si pa ge ns ic ai ct na ha ea el su ur pe ac ch ni il pr tr us lo rt"
    " so ot be mo rs am fo nc id em ca ie do ex hi fi im ho ss fe ol ir ag ci ad os ut oc ts ia po ul um qu sa mp"
    " pl ee"
)
_USUAL_PAIRS = frozenset(_USUAL.split())
_NAMES = re.compile(r"(?:(?:/[A-Za-z]{1,5}(?=[0-9A-F])[0-9A-Fa-f]{1,8}|\(cid:\d+\))[ \n]*){2,}")
"""Names in a row. A text about fonts may mention a few."""
_NAME = re.compile(r"/([A-Za-z]{1,5}?)(\d{1,5}|[0-9A-Fa-f]{2,4})(?![0-9A-Za-z])|\(cid:(\d+)\)")
_PLAIN_WORD = re.compile(r"[^\W\d_]?[a-zß-öø-ÿ]+[.,:;!?]?|[A-ZÀ-ÖØ-Þ]+[.,:;!?]?|\d+(?:[.,:/-]\d+)*")
_SMALL_WORD = re.compile(r"[^\W\d_]?[a-zß-öø-ÿ]{2,}[.,:;!?]?")
_KANA = re.compile("[\u3001-\u3002\u300c-\u300f\u3041-\u30ff]")
_PUNCTUATION = ".,:;!?()[]\"'-–—“”‘’„«»•*"
_USUAL_SHIFTS = (0, 29, 31)
"""ASCII itself, the usual order of letters in TrueType fonts, and that of Adobe's collections."""
_SHIFTS = (*_USUAL_SHIFTS, *(shift for shift in range(1, 64) if shift not in _USUAL_SHIFTS))


def has_names(text: str) -> bool:
    """Whether much of the text is names of letters, not letters."""
    if "/" not in text and "(cid:" not in text:
        return False
    printed = len("".join(text.split()))
    names = sum(len("".join(match[0].split())) for match in _NAMES.finditer(text))
    return names > MAX_SHARE_OF_NAMES * printed or text.count("/") > MAX_SHARE_OF_SLASHES * printed


def reads_like_text(text: str) -> bool:
    """Whether these are words in Latin letters, or Japanese. It is False for other scripts, which it does not know."""
    words = text[:SAMPLE].split()
    printed = "".join(words)
    if len(_KANA.findall(printed)) > MIN_SHARE_OF_KANA * len(printed):
        return True
    good, pairs = _pairs(words)
    letters = sum(map(str.isalpha, printed))
    if letters >= MIN_SHARE_OF_LETTERS * len(printed) and pairs >= MIN_PAIRS and good >= MIN_SHARE_OF_PAIRS * pairs:
        return True
    good, pairs = _pairs(re.findall(r"[^\W\d_]+", " ".join(words)))
    plain = sum(_PLAIN_WORD.fullmatch(word) is not None for word in words)
    are_usual = pairs < MIN_PAIRS or good > MAX_SHARE_OF_SHIFTED_PAIRS * pairs
    return plain > 0 and plain >= MIN_SHARE_OF_PLAIN_WORDS * len(words) and are_usual


def is_unlike_text(text: str) -> bool:
    """Whether these are words in Latin letters that no language has: the font's table of letters is wrong.

    Numbers, codes and placeholders (`XXXX`) are not such words.
    """
    words = [word for word in text[:SAMPLE].split() if _SMALL_WORD.fullmatch(word)]
    good, pairs = _pairs(words)
    return (
        pairs >= MIN_PAIRS_TO_DOUBT
        and good < MAX_SHARE_TO_DOUBT * pairs
        and len(set(words)) > len(words) // 2
        and sum(map(len, words)) > MIN_SHARE_OF_LETTERS * len("".join(text[:SAMPLE].split()))
    )


def share_of_usual_pairs(text: str) -> float:
    """Returns how many of the pairs of letters within words are usual ones in languages with Latin letters."""
    good, pairs = _pairs(text.split())
    return good / pairs if pairs else 0.0


def _pairs(words: Iterable[str]) -> tuple[int, int]:
    """Returns how many pairs of neighbors within words are usual ones, and how many there are."""
    bare = "\n".join(_folded(word).strip(_PUNCTUATION) for word in words)
    good = pairs = 0
    # Counted first: a text has thousands of pairs, and few different ones.
    for pair, count in Counter(map(add, bare, bare[1:])).items():
        if "\n" in pair or pair.isdigit():
            continue
        pairs += count
        # A capital after a small letter is unusual. Words in capitals are not.
        if pair.lower() in _USUAL_PAIRS and not (pair[0].islower() and pair[1].isupper()):
            good += count
    return good, pairs


def _folded(word: str) -> str:
    """Returns the word without accents."""
    return word if word.isascii() else "".join(each for each in normalize("NFKD", word) if not combining(each))


def are_alike(text: str, other: str) -> bool:
    """Whether two readings have much the same letters, in any order. Control characters and names do not count."""
    counts = Counter(filter(str.isprintable, text)), Counter(filter(str.isprintable, other))
    for count in counts:
        del count[" "]
    return (counts[0] & counts[1]).total() >= SAME_SHARE * max(counts[0].total(), counts[1].total())


def deciphered(text: str) -> str | None:
    """Returns the letters of a text of names or shifted letters, or None if there is no clear answer."""
    start = text[:DECIPHERED_SAMPLE]
    ways = _ways_to_read_names(start) if has_names(text) else _ways_to_shift(start)
    clear = next((read for read in ways if _is_clear(read(start))), None)
    return clear(text) if clear else None


def _is_clear(text: str) -> bool:
    good, pairs = _pairs(text.split())
    return text.isascii() and pairs >= MIN_PAIRS_TO_DECIPHER and good >= MIN_SHARE_OF_PAIRS * pairs


def _ways_to_read_names(text: str) -> Iterator[Callable[[str], str]]:
    bases = (16, 10) if _are_hexadecimal(text) else (10,)
    for shift in _SHIFTS:
        for base in bases:
            yield partial(_NAME.sub, partial(_letter, base=base, shift=shift))


def _are_hexadecimal(text: str) -> bool:
    """Whether all numbers have the same even length. Decimal ones would have as many digits as they need."""
    return len({len(match[2]) for match in _NAME.finditer(text) if match[2]} - {2, 4}) == 0


def _letter(match: re.Match[str], *, base: int, shift: int) -> str:
    digits = match[2] or match[3]
    try:
        code = int(digits, base if match[2] else 10)
    except ValueError:
        return match[0]
    return chr(code + shift) if 0x20 <= code + shift < 0x250 else match[0]


def _ways_to_shift(text: str) -> Iterator[Callable[[str], str]]:
    good, pairs = _pairs(text.split())
    if pairs < MIN_PAIRS_TO_DECIPHER or good > MAX_SHARE_OF_SHIFTED_PAIRS * pairs:
        return  # a part of the letters is right
    for shift in _SHIFTS[1:]:
        yield partial(_all_shifted, shift=shift)


def _all_shifted(text: str, shift: int) -> str:
    return "".join(_shifted(letter, shift) for letter in text)


def _shifted(letter: str, shift: int) -> str:
    code = ord(letter) + shift
    return chr(code) if 0x20 <= code < 0x7F and letter not in " \n" else letter
