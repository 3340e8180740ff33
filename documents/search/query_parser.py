"""The query parser: which words of a question count, which phrases must occur, which words must not.

Nobody has to name the question's language. A word matches its stems in all languages of the documents. The
stop words of the language that the question seems to be in are left out, unless the question has no other words.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from documents.search.full_text_index import AS_WRITTEN, neighbors_hash
from documents.text.languages import ENGLISH, stop_words
from documents.text.stems import stems_of_each
from documents.text.words import is_paired, pairs, words

MAX_WORDS = 64
MAX_PHRASE_WORDS = 8
MIN_PREFIX = 3
MIN_STOP_WORDS = 2
"""A question with so many stop words of a language is in that language."""

_PARTS = re.compile(r'(?P<not>(?<!\S)-(?=["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')


@dataclass(frozen=True)
class Term:
    """A word of the question, or a pair of characters. All its lexemes count as one term."""

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
    """A phrase as tsqueries: `words` asks for all its lexemes, which an index answers, `exact` also for their order.

    `neighbors` has, for each language, the hashes of the pairs that must be neighbors. One language is enough.
    """

    words: str
    exact: str
    neighbors: frozenset[tuple[int, ...]] = frozenset()
    lexemes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ParsedQuery:
    """`whole_phrase` is the question as a phrase, or None if a phrase makes no difference."""

    terms: tuple[Term, ...] = ()
    prefixes: tuple[Prefix, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    excluded: tuple[Phrase, ...] = ()
    whole_phrase: Phrase | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.terms or self.prefixes)

    @property
    def is_strict(self) -> bool:
        """Whether something must or must not occur."""
        return bool(self.prefixes or self.phrases or self.excluded)

    @property
    def lexemes(self) -> frozenset[str]:
        return frozenset(lexeme for term in self.terms for lexeme in term.lexemes)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return tuple(prefix.text for prefix in self.prefixes)


@dataclass
class _SignedWords:
    """The words of a question, grouped by their signs."""

    wanted: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    phrases: list[list[str]] = field(default_factory=list)
    excluded: list[list[str]] = field(default_factory=list)


def parse_query(text: str, languages: Sequence[str]) -> ParsedQuery:
    """Parses a question: `"quoted phrases"` must occur, `-words` must not, `begin*` matches words that start so."""
    parts = _split_signs(text)
    found = parts.wanted[:MAX_WORDS]
    if len(found) == 1 and is_paired(found[0]) and len(pairs(found[0])) == 1:
        parts.prefixes.append(found.pop())  # wherever a single character occurs, it begins a pair
    return ParsedQuery(
        terms=_terms(found, languages),
        prefixes=tuple(Prefix(prefix) for prefix in parts.prefixes),
        phrases=tuple(phrase for group in parts.phrases if (phrase := phrase_of(group, languages))),
        excluded=tuple(phrase for group in parts.excluded if (phrase := phrase_of(group, languages))),
        whole_phrase=_whole_phrase(found, languages),
    )


def parse_as_words(text: str, languages: Sequence[str]) -> ParsedQuery:
    """Parses a question without regard to its signs."""
    found = words(text)[:MAX_WORDS]
    return ParsedQuery(terms=_terms(found, languages), whole_phrase=_whole_phrase(found, languages))


def _split_signs(text: str) -> _SignedWords:
    parts = _SignedWords()
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
    stems = stems_of_each([(spaced, language) for language in languages])
    for word in _without_stop_words(found, languages):
        if word in spaced:
            counts[tuple(dict.fromkeys(known[word] for known in stems))] += 1
        else:
            counts.update((pair,) for pair in pairs(word)[:-1] or [word])
    return tuple(Term(lexemes, repeats) for lexemes, repeats in counts.items())


def _without_stop_words(found: list[str], languages: Sequence[str]) -> list[str]:
    hits = {language: sum(word in stop_words(language) for word in found) for language in languages}
    language = max(hits, key=lambda name: hits[name])
    if hits[language] < MIN_STOP_WORDS and hits[ENGLISH] == hits[language]:
        language = ENGLISH
    is_sure = hits[language] >= MIN_STOP_WORDS or language == ENGLISH or len(languages) <= MIN_STOP_WORDS
    ignored = stop_words(language) if is_sure else frozenset()
    return [word for word in found if word not in ignored] or found


def phrase_of(found: Sequence[str], languages: Sequence[str]) -> Phrase | None:
    """Returns the phrase in each of the languages, as every text is stemmed in one of them."""
    if not found:
        return None
    spaced = [word for word in found if not is_paired(word)]
    exact, loose, neighbors = list[str](), list[str](), set[tuple[int, ...]]()
    lexemes = set[str]()
    for stems in stems_of_each([(spaced, language) for language in (languages if spaced else languages[:1])]):
        places = list(_lexeme_places(found, stems))
        exact.append(_phrase_query(places))
        loose.append(" & ".join(dict.fromkeys(place.query for place in places)))
        neighbors.add(tuple(_neighbor_hashes(places)))
        lexemes.update(place.lexeme for place in places)
    return Phrase(_any(loose), _any(exact), frozenset(neighbors), frozenset(lexemes))


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    lexeme: str
    is_prefix: bool = False

    @property
    def query(self) -> str:
        return f"'{self.lexeme}'" + (":*" if self.is_prefix else "")


def _lexeme_places(found: Iterable[str], stems: dict[str, str]) -> Iterable[_Place]:
    """Yields the lexemes of a phrase with their places."""
    number = 0
    for word in found:
        if word in stems:
            yield _Place(number, stems[word])
            number += 1
            continue
        run = pairs(word)
        if len(run) == 1:
            yield _Place(number, word, is_prefix=True)
        yield from (_Place(number + place, pair) for place, pair in enumerate(run[:-1]))
        number += len(run)


def _phrase_query(places: Sequence[_Place]) -> str:
    text = places[0].query
    for before, place in pairwise(places):
        text += f" <{place.number - before.number}> {place.query}"
    return text


def _neighbor_hashes(places: Sequence[_Place]) -> Iterable[int]:
    for first, second in pairwise(places):
        if second.number == first.number + 1 and not (first.is_prefix or second.is_prefix):
            yield neighbors_hash(first.lexeme, second.lexeme)


def _any(queries: Iterable[str]) -> str:
    return "(" + " | ".join(f"({query})" for query in dict.fromkeys(queries)) + ")"


def _whole_phrase(found: Sequence[str], languages: Sequence[str]) -> Phrase | None:
    """Returns None for a single word, and for a question so long that its words alone identify the chunk."""
    length = sum(len(pairs(word)) - 1 if is_paired(word) else 1 for word in found)
    return phrase_of(found, languages) if 1 < length <= MAX_PHRASE_WORDS else None
