"""What a question asks for: words that count, phrases that must be there, words that must not.

The question's language is not asked for. A word stands for its stems in all languages that documents are in; where
it is a small word of the language that the question seems to be in, it is left out unless nothing else is there.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from documents.indexing import AS_WRITTEN
from documents.languages import ENGLISH, stop_words
from documents.stems import stems_of
from documents.terms import is_paired, pairs, words

MAX_WORDS = 64
MAX_WHOLE = 8
MIN_PREFIX = 3
SURE = 2
"""So many small words say which language a question is in."""

_PARTS = re.compile(r'(?P<not>(?<!\S)-(?=["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')


@dataclass(frozen=True)
class Term:
    """A word of the question or a pair of characters: the lexemes that it stands for, as one."""

    lexemes: tuple[str, ...]
    repeats: int = 1


@dataclass(frozen=True)
class Prefix:
    text: str

    @property
    def query(self) -> str:
        return f"('{self.text}':* | '{AS_WRITTEN}{self.text}':*)"


@dataclass(frozen=True)
class Phrase:
    """As tsqueries: `words` asks for all its lexemes, which an index answers, `exact` for their order too."""

    words: str
    exact: str


@dataclass(frozen=True)
class Asked:
    """`whole` is the question as a phrase, or None where that makes no difference."""

    terms: tuple[Term, ...] = ()
    prefixes: tuple[Prefix, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    excluded: tuple[Phrase, ...] = ()
    whole: Phrase | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.terms or self.prefixes)

    @property
    def is_strict(self) -> bool:
        return bool(self.prefixes or self.phrases or self.excluded)

    @property
    def lexemes(self) -> frozenset[str]:
        return frozenset(lexeme for term in self.terms for lexeme in term.lexemes)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return tuple(prefix.text for prefix in self.prefixes)


@dataclass
class _Parts:
    """The words of a question by what their signs say."""

    wanted: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    phrases: list[list[str]] = field(default_factory=list)
    excluded: list[list[str]] = field(default_factory=list)


def ask(text: str, languages: Sequence[str]) -> Asked:
    """`"quoted phrases"` must be there, `-words` must not, `begin*` stands for all words that begin so."""
    parts = _parts_of(text)
    found = parts.wanted[:MAX_WORDS]
    if len(found) == 1 and is_paired(found[0]) and len(pairs(found[0])) == 1:
        parts.prefixes.append(found.pop())  # a single character begins a pair wherever it stands
    return Asked(
        terms=_terms(found, languages),
        prefixes=tuple(Prefix(prefix) for prefix in parts.prefixes),
        phrases=tuple(phrase for group in parts.phrases if (phrase := phrase_of(group, languages))),
        excluded=tuple(phrase for group in parts.excluded if (phrase := phrase_of(group, languages))),
        whole=_whole(found, languages),
    )


def ask_plainly(text: str, languages: Sequence[str]) -> Asked:
    """The question's words without regard to signs."""
    found = words(text)[:MAX_WORDS]
    return Asked(terms=_terms(found, languages), whole=_whole(found, languages))


def _parts_of(text: str) -> _Parts:
    parts = _Parts()
    for part in _PARTS.finditer(text):
        found = words(part["phrase"] if part["word"] is None else part["word"])
        if not found:
            continue
        if part["not"]:
            parts.excluded.append(found)
        elif part["word"] is None:
            parts.phrases.append(found)
            parts.wanted += found
        elif part["word"].endswith("*") and not is_paired(found[-1]) and len(found[-1]) >= MIN_PREFIX:
            parts.wanted += found[:-1]
            parts.prefixes.append(found[-1])
        else:
            parts.wanted += found
    return parts


def _terms(found: list[str], languages: Sequence[str]) -> tuple[Term, ...]:
    counts: Counter[tuple[str, ...]] = Counter()
    spaced = [word for word in found if not is_paired(word)]
    stems = [stems_of(spaced, language) for language in languages]
    for word in _without_small_words(found, languages):
        if word in spaced:
            counts[tuple(dict.fromkeys(known[word] for known in stems))] += 1
        else:
            counts.update((pair,) for pair in pairs(word)[:-1] or [word])
    return tuple(Term(lexemes, repeats) for lexemes, repeats in counts.items())


def _without_small_words(found: list[str], languages: Sequence[str]) -> list[str]:
    hits = {language: sum(word in stop_words(language) for word in found) for language in languages}
    language = max(hits, key=lambda name: hits[name])
    if hits[language] < SURE and hits[ENGLISH] == hits[language]:
        language = ENGLISH
    is_sure = hits[language] >= SURE or language == ENGLISH or len(languages) <= SURE
    small = stop_words(language) if is_sure else frozenset()
    return [word for word in found if word not in small] or found


def phrase_of(found: Sequence[str], languages: Sequence[str]) -> Phrase | None:
    """In each of the languages, for a text is stemmed as one of them."""
    if not found:
        return None
    spaced = [word for word in found if not is_paired(word)]
    exact, loose = list[str](), list[str]()
    for language in languages if spaced else languages[:1]:
        places = list(_places(found, stems_of(spaced, language)))
        exact.append(_chain(places))
        loose.append(" & ".join(dict.fromkeys(lexeme for _, lexeme in places)))
    return Phrase(_any(loose), _any(exact))


def _places(found: Iterable[str], stems: dict[str, str]) -> Iterable[tuple[int, str]]:
    """The lexemes of a phrase, quoted, with their places."""
    place = 0
    for word in found:
        if word in stems:
            yield place, f"'{stems[word]}'"
            place += 1
            continue
        run = pairs(word)
        if len(run) == 1:
            yield place, f"'{word}':*"
        yield from ((place + number, f"'{pair}'") for number, pair in enumerate(run[:-1]))
        place += len(run)


def _chain(places: Sequence[tuple[int, str]]) -> str:
    text = places[0][1]
    for (before, _), (place, lexeme) in pairwise(places):
        text += f" <{place - before}> {lexeme}"
    return text


def _any(queries: Iterable[str]) -> str:
    return "(" + " | ".join(f"({query})" for query in dict.fromkeys(queries)) + ")"


def _whole(found: Sequence[str], languages: Sequence[str]) -> Phrase | None:
    """None where it is a single word, or so long that its words alone say which passage it is from."""
    length = sum(len(pairs(word)) - 1 if is_paired(word) else 1 for word in found)
    return phrase_of(found, languages) if 1 < length <= MAX_WHOLE else None
