"""Stems of words, by PostgreSQL's own snowball stemmers.

A word is stemmed as its script and the document's language say, and once for all in a process: PostgreSQL is
asked for the words that are new. It gets folded words, so that a question without accents finds a text with
them; where a stemmer needs an accent to see an ending, it is put back.
"""

import re
from collections.abc import Collection, Iterable

from django.db import connection

from documents.languages import ENGLISH, is_known
from documents.terms import fold

MAX_KNOWN = 100_000
PREFIXING = frozenset({"indonesian", "irish"})
"""Languages in Latin letters whose stems begin otherwise than their words."""
_LATIN_END = 0x370

# The first place behind each script that has a stemmer, and the stemmer of what is before it.
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
_SQL = "SELECT word, (ts_lexize(%s::regdictionary, given))[1] FROM unnest(%s::text[], %s::text[]) AS t (word, given)"

_known: dict[str, dict[str, str]] = {}


def stems_of(words: Collection[str], language: str) -> dict[str, str]:
    """The stem of each word of a text in this language; a word without one is its own."""
    by_stemmer: dict[str, list[str]] = {}
    for word in set(words):
        by_stemmer.setdefault(stemmer_of(word, language), []).append(word)
    found: dict[str, str] = {}
    for stemmer, group in by_stemmer.items():
        found.update(_stemmed(group, stemmer) if stemmer else zip(group, group, strict=True))
    return found


def stemmer_of(word: str, language: str) -> str:
    """The name of its stemmer; empty for numbers, and for scripts without one."""
    first = ord(word[0])
    if first < _LATIN_END:
        latin = language if is_known(language) else ENGLISH
        return "" if word[0].isdigit() else latin
    return next((stemmer for end, stemmer in _SCRIPTS if first < end), "")


def _stemmed(words: Iterable[str], stemmer: str) -> dict[str, str]:
    known = _known.setdefault(stemmer, {})
    if len(known) > MAX_KNOWN:
        known = _known[stemmer] = {}
    found = {word: known.get(word) for word in words}
    if new := [word for word, stem in found.items() if stem is None]:
        with connection.cursor() as cursor:
            cursor.execute(_SQL, [f"pg_catalog.{stemmer}_stem", new, [_with_accents(word, stemmer) for word in new]])
            learnt = {word: fold(stem) if stem else word for word, stem in cursor.fetchall()}
        known.update(learnt)
        found.update(learnt)
    return {word: stem or word for word, stem in found.items()}


def _with_accents(word: str, stemmer: str) -> str:
    for ending, accented in _ACCENTED_ENDINGS.get(stemmer, ()):
        word = ending.sub(accented, word)
    return word
