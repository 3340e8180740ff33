"""Stems of words, by PostgreSQL's snowball stemmers.

The script of a word and the language of the document select the stemmer. Each process caches stems and asks PostgreSQL
only for new words. Words are folded first, so that a question without accents finds a text with them. If a stemmer
needs an accent to recognize an ending, it is added again.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from django.db import connection

from documents.text.folding import fold
from documents.text.languages import ENGLISH, is_known

MAX_KNOWN = 100_000
PREFIXING = frozenset({"indonesian", "irish"})
"""Languages in Latin letters whose stems may begin with other letters than the words."""
_LATIN_END = 0x370

# The code point that follows each script, and the stemmer of that script.
_SCRIPTS = (
    (0x400, "greek"),
    (0x530, "russian"),
    (0x590, "armenian"),
    (0x600, ""),
    (0x780, "arabic"),
    (0x900, ""),
    (0x980, "hindi"),
    (0xB80, ""),
    (0xC00, "tamil"),
    (0x1E00, ""),
    (0x1F00, ENGLISH),
    (0x2000, "greek"),
)
_ACCENTED_ENDINGS = {
    "french": ((re.compile("ee(s?)$"), r"ée\1"),),
    "portuguese": ((re.compile("cao$"), "ção"), (re.compile("coes$"), "ções")),
    "spanish": ((re.compile("cion$"), "ción"), (re.compile("logia(s?)$"), r"logía\1")),
}
_SQL = """
SELECT stemmer, word, (ts_lexize(('pg_catalog.' || stemmer || '_stem')::regdictionary, given))[1]
FROM unnest(%s::text[], %s::text[], %s::text[]) AS t (stemmer, word, given)
"""

_cached_stems: dict[str, dict[str, str]] = {}


def stems_of(words: Collection[str], language: str) -> dict[str, str]:
    """Returns the stem of each word of a text in this language. A word without a stem is its own stem."""
    (found,) = stems_of_each([(words, language)])
    return found


def stems_of_each(texts: Sequence[tuple[Collection[str], str]]) -> list[dict[str, str]]:
    """Returns the same for several texts, each with its words and its language, in one query."""
    stemmers = [{word: stemmer_of(word, language) for word in set(words)} for words, language in texts]
    stems = _look_up_stems({(stemmer, word) for named in stemmers for word, stemmer in named.items() if stemmer})
    return [{word: stems.get((stemmer, word), word) for word, stemmer in named.items()} for named in stemmers]


def stemmer_of(word: str, language: str) -> str:
    """Returns the name of the word's stemmer, or "" for numbers and for scripts without one."""
    first = ord(word[0])
    if first < _LATIN_END:
        latin = language if is_known(language) else ENGLISH
        return "" if word[0].isdigit() else latin
    return next((stemmer for end, stemmer in _SCRIPTS if first < end), "")


def _look_up_stems(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Returns the stem for each stemmer and word. Queries PostgreSQL for those that are not cached."""
    found = {(stemmer, word): _cached_stems.get(stemmer, {}).get(word) for stemmer, word in wanted}
    new = [each for each, stem in found.items() if stem is None]
    if new:
        given = [_with_accents(word, stemmer) for stemmer, word in new]
        with connection.cursor() as cursor:
            cursor.execute(_SQL, [[stemmer for stemmer, _ in new], [word for _, word in new], given])
            rows = cursor.fetchall()
        for stemmer, word, stem in rows:
            found[stemmer, word] = _cache_stem(stemmer, word, fold(stem) if stem else word)
    return {each: stem or each[1] for each, stem in found.items()}


def _cache_stem(stemmer: str, word: str, stem: str) -> str:
    known = _cached_stems.setdefault(stemmer, {})
    if len(known) > MAX_KNOWN:
        known = _cached_stems[stemmer] = {}
    known[word] = stem
    return stem


def _with_accents(word: str, stemmer: str) -> str:
    if stemmer == "turkish":
        return _with_dotless(word)
    for ending, accented in _ACCENTED_ENDINGS.get(stemmer, ()):
        word = ending.sub(accented, word)
    return word


def _with_dotless(word: str) -> str:
    """Returns a Turkish word with `ı` where its vowel harmony demands it: the endings depend on it."""
    found, is_back = "", False
    for letter in word:
        found += "ı" if letter == "i" and is_back else letter
        is_back = found[-1] in "aıou" if letter in "aeıiou" else is_back
    return found
