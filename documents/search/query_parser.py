"""The query parser: which words of a question count, which phrases must occur, which words must not.

Nobody has to name the question's language. A word matches its stems in all languages of the documents. The
stop words of the language that the question seems to be in are left out, unless the question has no other words.

Signs are always obeyed: `"quoted phrases"` must occur, `-words` must not, `begin*` matches words with that beginning.
In a question of more than MAX_SIGNED_WORDS words, which is pasted prose, they are punctuation.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from documents.search.full_text_index import AS_WRITTEN, neighbors_hash
from documents.text.languages import ENGLISH, stop_words
from documents.text.stems import stems_of_each
from documents.text.words import Cut, cut, is_paired, pairs

MAX_QUESTION = 10_000
"""The longest question in characters. The entry points refuse longer ones."""
MAX_SIGNED_WORDS = 10
"""A question with more words outside quotation marks is prose."""
MAX_COUNTED_TERMS = 1000
"""The number of words of a very long question that are looked up: those that it repeats and the longest ones."""
MAX_PHRASE_WORDS = 8
MIN_PREFIX = 3
MIN_STOP_WORDS = 2
"""A question with so many stop words of a language is in that language."""
MAX_CODE_LETTERS = 5

_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»‹›＂「」『』〝〞〟", '"') | dict.fromkeys("−－﹣‐‑–", "-"))
# A quotation mark after a letter or digit does not open a phrase: 24" and the Hebrew צה"ל.
_HEBREW = r"[\u05d0-\u05ea]"
_PARTS = re.compile(
    rf'(?P<not>(?<!\S)-(?=["\w.]))?(?:(?<!\w)"(?P<phrase>(?:[^"]|(?<={_HEBREW})"(?={_HEBREW}))*)"'
    r'|(?P<word>(?:[^\s"]|(?<=\w)"(?=\w))+))'
)
_CODE = re.compile(r"([^\W\d_]{1,5})(\d{3,})|(\d{3,})([^\W\d_]{1,5})|(\d{1,2})([^\W\d_]{2,5})")


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
    """`whole_phrase` is the question as a phrase, or None if a phrase makes no difference.

    `every_word` is a tsquery for the chunks that have all words. `ignores_signs`: the question is prose with signs.
    """

    terms: tuple[Term, ...] = ()
    prefixes: tuple[Prefix, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    excluded: tuple[Phrase, ...] = ()
    whole_phrase: Phrase | None = None
    every_word: str = ""
    ignores_signs: bool = False

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
    """The texts of a question, grouped by their signs. `wanted` has the phrases too, each on a line of its own."""

    wanted: str = ""
    prefixes: list[str] = field(default_factory=list)
    phrases: list[Cut] = field(default_factory=list)
    excluded: list[Cut] = field(default_factory=list)
    unquoted: int = 0

    @property
    def has_signs(self) -> bool:
        return bool(self.prefixes or self.phrases or self.excluded)


def parse_query(text: str, languages: Sequence[str]) -> ParsedQuery:
    """Parses a question: `"quoted phrases"` must occur, `-words` must not, `begin*` matches words that begin so."""
    parts = _split_signs(text)
    is_prose = parts.unquoted > MAX_SIGNED_WORDS
    ignores_signs = is_prose and parts.has_signs
    if is_prose:
        parts = _SignedWords(text)
    found = cut(parts.wanted)
    if len(found.words) == 1 and is_paired(found.words[0]) and len(pairs(found.words[0])) == 1:
        parts.prefixes.append(found.words.pop())  # wherever a single character occurs, it begins a pair
    terms, every_word = _terms(found, languages)
    return ParsedQuery(
        terms=terms,
        prefixes=tuple(Prefix(prefix) for prefix in parts.prefixes),
        phrases=tuple(phrase for group in parts.phrases if (phrase := phrase_of(group, languages))),
        excluded=tuple(phrase for group in parts.excluded if (phrase := phrase_of(group, languages))),
        whole_phrase=_whole_phrase(found, languages),
        every_word=every_word,
        ignores_signs=ignores_signs,
    )


def _split_signs(text: str) -> _SignedWords:
    parts = _SignedWords()
    for part in _PARTS.finditer(text.translate(_QUOTES)):
        given = part["phrase"] if part["word"] is None else part["word"]
        found = cut(given)
        if not found.words:
            continue
        if part["not"]:
            parts.excluded.append(found)
            parts.unquoted += len(found.words) if part["word"] else 0
        elif part["word"] is None:
            parts.phrases.append(found)
            parts.wanted += f"\n{given}\n"
        elif given.endswith("*") and not is_paired(found.words[-1]) and len(found.words[-1]) >= MIN_PREFIX:
            parts.wanted += f"\n{' '.join(found.words[:-1])}\n"
            parts.prefixes.append(found.words[-1])
        else:
            parts.wanted += f" {given}"
            parts.unquoted += len(found.words)
    return parts


class _Terms:
    """The terms of a question, and for each of its words the lexemes of a chunk with that word."""

    def __init__(self, found: Cut, languages: Sequence[str]) -> None:
        self.found = found
        every = {*found.words, *(form.text for forms in found.forms.values() for form in forms)}
        every |= {part for word in found.words for part in _code_parts(word)}
        every |= {first + second for first, second in pairwise(found.words) if _is_code(first, second)}
        self.stems = stems_of_each([({word for word in every if not is_paired(word)}, name) for name in languages])
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.having: dict[int, list[str]] = {}

    def lexemes(self, word: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(known.get(word, word) for known in self.stems))

    def add(self, number: int, word: str) -> None:
        """Adds a word with its other forms, and its parts if it is a code such as `ppr9087`."""
        if is_paired(word):
            run = pairs(word)[:-1] or [word]
            self.counts.update((pair,) for pair in run)
            self._have(number, " & ".join(f"'{pair}'" for pair in run))
            return
        forms = _signed_forms(self.found, number)
        signed = tuple(dict.fromkeys(lexeme for form in forms for lexeme in self.lexemes(form)))
        if signed:
            self.counts[signed] += 1
            self._have(number, _any_lexeme(signed))
        if signed and (len(word) == 1 or not signed[0][0].isalnum()):  # neither `c` for C++ nor `net` for .NET
            return
        self.counts[self.lexemes(word)] += 1
        self._have(number, _any_lexeme(self.lexemes(word)))
        parts = _code_parts(word)
        self.counts.update(self.lexemes(part) for part in parts if len(part) > 1)
        if parts:
            self._have(number, " & ".join(_any_lexeme(self.lexemes(part)) for part in parts))

    def add_joined(self) -> None:
        """Adds what the question writes with blanks, hyphens or dots as one word."""
        for number, forms in self.found.forms.items():
            for form in forms:
                if form.span > 1:
                    self._join(form.text, range(number, number + form.span))
        for number, (first, second) in enumerate(pairwise(self.found.words)):
            if _is_code(first, second) and number not in self.found.forms:
                self._join(first + second, range(number, number + 2))

    def _join(self, text: str, numbers: range) -> None:
        self.counts[self.lexemes(text)] += 1
        for number in numbers:
            self._have(number, _any_lexeme(self.lexemes(text)))

    def _have(self, number: int, query: str) -> None:
        self.having.setdefault(number, []).append(query)


def _terms(found: Cut, languages: Sequence[str]) -> tuple[tuple[Term, ...], str]:
    """Returns the terms of a question, and a tsquery for the chunks that have all of its words."""
    kept = _without_stop_words(found.words, languages)
    terms = _Terms(found, languages)
    for number in kept:
        terms.add(number, found.words[number])
    terms.add_joined()
    counts = sorted(terms.counts.items(), key=lambda item: (-item[1], -len(item[0][0])))[:MAX_COUNTED_TERMS]
    chosen = {lexemes for lexemes, _ in counts}
    every = " & ".join(dict.fromkeys(_any(terms.having[number]) for number in kept))
    return tuple(Term(lexemes, count) for lexemes, count in terms.counts.items() if lexemes in chosen), every


def _code_parts(word: str) -> tuple[str, ...]:
    """Returns the letters and the digits of a code such as `ppr9087`."""
    match = _CODE.fullmatch(word)
    return tuple(part for part in match.groups() if part) if match else ()


def _is_code(first: str, second: str) -> bool:
    """Whether two words of a question may be one word in a text, such as `PPR 9087`, `10 kg` or `SW1A 1AA`."""
    if is_paired(first) or is_paired(second):
        return False
    if first.isalpha():
        return len(first) <= MAX_CODE_LETTERS and second.isdigit()
    return first.isalnum() and (second.isalnum() and not second.isdigit()) and len(second) <= MAX_CODE_LETTERS


def _any_lexeme(lexemes: Iterable[str]) -> str:
    return "(" + " | ".join(f"'{lexeme}'" for lexeme in lexemes) + ")"


def _without_stop_words(found: Sequence[str], languages: Sequence[str]) -> list[int]:
    """Returns the numbers of the words that are not stop words, or all if there are no others."""
    hits = {language: sum(word in stop_words(language) for word in found) for language in languages}
    language = max(hits, key=lambda name: hits[name])
    if hits[language] < MIN_STOP_WORDS and hits[ENGLISH] == hits[language]:
        language = ENGLISH
    is_sure = hits[language] >= MIN_STOP_WORDS or language == ENGLISH or len(languages) <= MIN_STOP_WORDS
    ignored = stop_words(language) if is_sure else frozenset()
    return [number for number, word in enumerate(found) if word not in ignored] or list(range(len(found)))


def phrase_of(found: Cut, languages: Sequence[str]) -> Phrase | None:
    """Returns the phrase in each of its forms and languages, as every text is stemmed in one of them."""
    if not found.words:
        return None
    exact, loose, neighbors = list[str](), list[str](), set[tuple[int, ...]]()
    lexemes = set[str]()
    sequences = list(_sequences(found))
    spaced = {word for sequence in sequences for group in sequence for word in group if not is_paired(word)}
    for stems in stems_of_each([(spaced, language) for language in (languages if spaced else languages[:1])]):
        for sequence in sequences:
            places = list(_lexeme_places(sequence, stems))
            exact.append(_phrase_query(places))
            loose.append(" & ".join(dict.fromkeys(place.query for place in places)))
            neighbors.add(tuple(_neighbor_hashes(places)))
            lexemes.update(lexeme for place in places for lexeme in place.lexemes)
    return Phrase(_any(loose), _any(exact), frozenset(neighbors), frozenset(lexemes))


_Group = tuple[str, ...]
"""Alternatives: any of these words may be at a place."""


def _sequences(found: Cut) -> Iterable[list[_Group]]:
    """Returns a phrase as it is written, with its parts as one word, and with its codes in parts."""
    written = [_signed_forms(found, number) or (word,) for number, word in enumerate(found.words)]
    joined, number = list[_Group](), 0
    while number < len(written):
        forms = found.forms.get(number, ())
        span = max((form.span for form in forms), default=1)
        joined.append(tuple(form.text for form in forms if form.span == span) if span > 1 else written[number])
        number += span
    parts = [
        (part,) if part else group
        for group in written
        for part in (_code_parts(group[0]) if len(group) == 1 else ()) or ("",)
    ]
    pair = found.words if len(found.words) == 2 and _is_code(*found.words) else ()
    whole = [("".join(pair),)] if pair else written
    return [list(each) for each in dict.fromkeys(map(tuple, (written, joined, parts, whole)))]


def _signed_forms(found: Cut, number: int) -> _Group:
    return tuple(form.text for form in found.forms.get(number, ()) if form.span == 1)


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    lexemes: tuple[str, ...]
    is_prefix: bool = False

    @property
    def query(self) -> str:
        (first, *others) = (f"'{lexeme}'" + (":*" if self.is_prefix else "") for lexeme in self.lexemes)
        return f"({' | '.join([first, *others])})" if others else first


def _lexeme_places(sequence: Iterable[_Group], stems: dict[str, str]) -> Iterator[_Place]:
    """Yields the lexemes of a phrase with their places."""
    number = 0
    for group in sequence:
        if not is_paired(group[0]):
            yield _Place(number, tuple(dict.fromkeys(stems[word] for word in group)))
            number += 1
            continue
        run = pairs(group[0])
        if len(run) == 1:
            yield _Place(number, group, is_prefix=True)
        yield from (_Place(number + place, (pair,)) for place, pair in enumerate(run[:-1]))
        number += len(run)


def _phrase_query(places: Sequence[_Place]) -> str:
    text = places[0].query
    for before, place in pairwise(places):
        text += f" <{place.number - before.number}> {place.query}"
    return text


def _neighbor_hashes(places: Sequence[_Place]) -> Iterable[int]:
    for first, second in pairwise(places):
        is_certain = len(first.lexemes) == len(second.lexemes) == 1 and not (first.is_prefix or second.is_prefix)
        if second.number == first.number + 1 and is_certain:
            yield neighbors_hash(first.lexemes[0], second.lexemes[0])


def _any(queries: Iterable[str]) -> str:
    return "(" + " | ".join(f"({query})" for query in dict.fromkeys(queries)) + ")"


def _whole_phrase(found: Cut, languages: Sequence[str]) -> Phrase | None:
    """Returns None for a single word, and for a question so long that its words alone identify the chunk."""
    length = sum(len(pairs(word)) - 1 if is_paired(word) else 1 for word in found.words)
    return phrase_of(found, languages) if 1 < length <= MAX_PHRASE_WORDS else None
