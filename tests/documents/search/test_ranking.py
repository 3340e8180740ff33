"""BM25 by its formula, posting lists that are not read, and statistics."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from documents.models import ChunkTerms, Document
from documents.search import Question, full_text_index, posting_lists, ranking, search, term_statistics
from documents.search.query_parser import parse_query, phrase_of
from documents.search.ranking import Hit, best_chunks
from documents.search.scope import Filters, scope_of
from documents.text.languages import ENGLISH
from documents.text.words import cut
from tests.support.documents import add, upload
from tests.support.users import make_user

TEXTS = ["red fox red", "red dog", "blue fox jumps over blue dog", "green bird", "red red red red bird and dog", "owl"]


def bm25(question: str, texts: list[str], k1: float = 1.5, b: float = 0.75) -> dict[str, float]:
    """Computes BM25 independently."""
    documents = [Counter(text.split()) for text in texts]
    lengths = [document.total() for document in documents]
    average = sum(lengths) / len(lengths)
    scores: dict[str, float] = {}
    for word, repeats in Counter(question.split()).items():
        having = sum(word in document for document in documents)
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for text, document, length in zip(texts, documents, lengths, strict=True):
            tf = document[word]
            part = repeats * idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average))
            scores[text] = scores.get(text, 0.0) + part
    return {text: score for text, score in scores.items() if score}


@pytest.fixture
def average(monkeypatch: pytest.MonkeyPatch) -> None:
    """The average length of TEXTS, from the first text on."""
    value = sum(len(text.split()) for text in TEXTS) / len(TEXTS)
    monkeypatch.setattr(term_statistics, "ASSUMED_LENGTH", value)
    monkeypatch.setattr(term_statistics, "ASSUMED_WEIGHT", 10**9)


@pytest.mark.usefixtures("average")
@pytest.mark.parametrize("question", ["red", "fox dog", "blue bird", "owl owl red", "dog red fox bird"])
def test_the_score_is_bm25(alice: User, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "PHRASE_BONUS", 0.0)
    for text in TEXTS:
        add(alice, text)
    found = {result.snippet.text: result.score for result in search(alice, Question(question))}
    expected = bm25(question, TEXTS)
    assert found.keys() == expected.keys()
    assert all(found[text] == pytest.approx(expected[text], rel=0.005) for text in expected)


def test_early_chunks_are_not_measured_against_an_early_average(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first chunks are much shorter than those that follow."""
    monkeypatch.setattr(term_statistics, "ASSUMED_WEIGHT", 0.001)
    texts = ["red fox", "blue fox", *(f"blue bird number {number} " + "and more " * 50 for number in range(20))]
    for text in texts:
        add(alice, text)
    found = {result.snippet.text: result.score for result in search(alice, Question("red"))}
    assert found == {"red fox": pytest.approx(bm25("red", texts)["red fox"], rel=0.01)}


def test_the_question_as_a_phrase_is_worth_its_words_once_more(alice: User) -> None:
    for text in ("red fox", "fox red", "green bird"):
        add(alice, text, client_id=text.replace(" ", "-"))
    first, second = search(alice, Question("red fox"))
    assert (first.document_id, second.document_id) == ("red-fox", "fox-red")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    assert first.score - second.score == pytest.approx(2 * idf, rel=0.01)


def forget_statistics() -> None:
    term_statistics._cached.clear()
    term_statistics._owners.clear()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table is large enough for PostgreSQL's statistics."""
    monkeypatch.setattr(term_statistics, "SMALL_BYTES", 0)
    monkeypatch.setattr(term_statistics, "FEW_CHUNKS", 0)
    forget_statistics()
    yield
    forget_statistics()


def written(user: User, count: int, **fields: Any) -> list[str]:
    """Indexes random chunks, in which few words are frequent. Returns their texts."""
    dice = random.Random(5)
    vocabulary = [f"word{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    texts = [" ".join(dice.choices(vocabulary, weights, k=dice.randint(20, 120))) for _ in range(count)]
    documents = Document.objects.bulk_create(
        Document(owner=user, client_id=f"{user.pk}-{number}", file_size=1, generation=1, chunk_count=1, **fields)
        for number in range(count)
    )
    for number, (document, text) in enumerate(zip(documents, texts, strict=True)):
        full_text_index.write_terms(document.pk, user.pk, 1, ENGLISH, [(10_000 * user.pk + number, text)])
    return texts


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE document_terms")


def test_few_lexemes_wait_for_the_index(alice: User) -> None:
    """Every search scans the pending entries. Without a pending list, each chunk would be inserted alone."""
    written(alice, 500)
    with connection.cursor() as cursor:
        cursor.execute("SELECT gin_clean_pending_list('terms_by_lexeme')")
        (pages,) = cursor.fetchone()
    assert 0 < pages <= 64 // 8 + 1


def best(user: User, text: str, limit: int = 10, filters: Filters | None = None) -> list[tuple[int, float]]:
    hits = best_chunks(parse_query(text, [ENGLISH]), scope_of(user, filters or Filters()), [ENGLISH], limit)
    return [(hit.chunk_id, round(hit.score, 4)) for hit in hits[:limit]]


QUESTIONS = [
    "wordak",
    "wordal wordam",
    "wordak wordal wordam wordan wordao",
    "wordjt wordak",
    "wordaq wordbk wordcl worddm worden wordfo wordgp wordhq wordir wordjs",
    "wordak -wordal",
    "wordakk wordal",
    '"wordak wordal"',
    '"wordal wordam wordak"',
    'wordbk "wordak wordal" wordan',
    '"wordak wordir"',
]


def record(monkeypatch: pytest.MonkeyPatch, name: str = "score_candidates") -> list[str]:
    """Records the candidates that are requested."""
    asked: list[str] = []
    rows = getattr(ranking._ChunkScorer, name)

    def recording(look: Any, *candidates: str) -> list[Hit]:
        asked.append(" ".join(candidates))
        return list(rows(look, *candidates))

    monkeypatch.setattr(ranking._ChunkScorer, name, recording)
    return asked


@pytest.fixture(scope="class")
def reader(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[User]:
    """A user with 500 chunks, which are written once for the tests of a class."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(term_statistics, "SMALL_BYTES", 0)
        patch.setattr(term_statistics, "FEW_CHUNKS", 0)
        forget_statistics()
        user = make_user("alice")
        written(user, 500)
        analyze()
        yield user
        transaction.set_rollback(True)


@pytest.mark.usefixtures("large")
class TestFirstLooks:
    """These tests only read."""

    @pytest.mark.parametrize("question", QUESTIONS)
    @pytest.mark.parametrize("room", [1, 30, 200])
    def test_lists_that_are_not_read_change_nothing(
        self, reader: User, db: None, question: str, room: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 0)
        monkeypatch.setattr(posting_lists, "TOLERANCE", 0.0)
        every = best(reader, question)
        monkeypatch.setattr(ranking, "FIRST_BUDGET", room)
        looked = record(monkeypatch)
        assert best(reader, question) == every
        assert looked

    def test_the_best_for_a_common_word_are_read_off_its_high_impacts(
        self, reader: User, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 0)
        monkeypatch.setattr(ranking, "FIRST_BUDGET", 60)
        monkeypatch.setattr(ranking, "DEPTH", 10)
        looked = record(monkeypatch)
        best(reader, "wordbq", 3)
        assert looked
        assert all("'^" in candidates for candidates in looked)

    def test_a_frequent_phrase_is_read_off_high_impacts_and_a_rare_one_off_its_rarest_word(
        self, reader: User, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 0)
        monkeypatch.setattr(ranking, "FIRST_BUDGET", 100)
        looked = record(monkeypatch)
        best(reader, '"wordak wordbk"', 1)
        assert looked == ["'^wordbk'"]
        looked.clear()
        best(reader, '"wordak wordjt"', 1)
        assert looked == [""]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("way", ["each is scored", "lists, then each", "lists alone"])
def test_no_filter_thins_out(alice: User, bob: User, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written(alice, 300)
    written(bob, 300, project_id="")
    few = list(Document.objects.filter(owner=alice).order_by("pk").values_list("pk", flat=True)[:15])
    Document.objects.filter(pk__in=few).update(project_id="few")
    analyze()
    monkeypatch.setattr(ranking, "MAX_SCORED_SCOPE", 15 if way == "each is scored" else 0)
    monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 0 if way == "lists alone" else 15)
    monkeypatch.setattr(ranking, "FIRST_BUDGET", 5)
    looked, of_few = record(monkeypatch), record(monkeypatch, "score_scope")
    assert len(best(alice, "wordjt wordak", 15, Filters(project_id="few"))) == 15
    assert (len(of_few), len(looked)) == {"each is scored": (1, 0), "lists, then each": (1, 1)}.get(way, (0, 3))
    assert {id // 10_000 for id, _ in best(bob, "wordak wordal")} == {bob.pk}


@pytest.mark.usefixtures("large")
def test_the_lists_of_rare_words_are_read_instead_of_a_larger_scope(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = written(alice, 300)
    analyze()
    having = sum("wordjt" in text.split() for text in texts)
    of_few = record(monkeypatch, "score_scope")
    assert 0 < having < len(texts) / 2
    assert len(best(alice, "wordjt", 300)) == having
    assert not of_few


@pytest.mark.usefixtures("large")
def test_the_narrow_way_scores_alike(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    written(alice, 200)
    analyze()
    looked, of_few = record(monkeypatch), record(monkeypatch, "score_scope")
    for question in [*QUESTIONS, '"wordak wordal"', "wordj* wordak"]:
        monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 5000)
        narrow = best(alice, question)
        assert not looked
        assert of_few
        monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 0)
        of_few.clear()
        assert narrow == best(alice, question)
        assert not of_few
        looked.clear()


@pytest.mark.usefixtures("large")
def test_statistics_are_as_good_as_counting(alice: User) -> None:
    texts = written(alice, 300)
    found = term_statistics.statistics_of(alice.pk)
    assert found.common is None
    analyze()
    forget_statistics()
    found = term_statistics.statistics_of(alice.pk)
    assert found.common
    assert found.total == 300
    having = Counter(word for text in texts for word in set(text.split()))
    counts = found.counts(["wordak", "wordbo", "wordjt", "nowhere"])
    assert counts == {word: pytest.approx(having[word], abs=1) for word in ("wordak", "wordbo", "wordjt", "nowhere")}


def test_without_statistics_and_large_everything_is_read(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term_statistics, "SMALL_BYTES", 0)
    for text in TEXTS:
        add(alice, text)
    assert search(alice, Question("red"))[0].score > 0


def test_a_chunk_of_very_many_words_is_stored(alice: User) -> None:
    every = [f"w{number}" for number in range(20_000)]
    document = upload(alice)
    full_text_index.write_terms(document.pk, alice.pk, 1, "", [(1, " ".join(every))])
    assert ChunkTerms.objects.get().length == 20_000


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("the old red fox", ["old", "red"]),
        ("the old red fox", ["red", "fox"]),
        ("自由民主 club", ["自由民主"]),
        ("一人 自由民主", ["自由", "民主"]),
    ],
)
@pytest.mark.django_db
def test_the_filter_recognizes_neighbors(text: str, phrase: list[str]) -> None:
    """The filter is true for all neighbors, and for few other pairs."""
    _, sequence, forms = full_text_index.lexemes_of(cut(text), {word: word for word in text.split() if word.isascii()})
    bits = full_text_index.neighbors_filter(sequence, forms)

    def may_hold(hash: int) -> bool:
        place = hash % (8 * len(bits))
        return bool(bits[place // 8] & 1 << place % 8)

    found = phrase_of(cut(" ".join(phrase)), [""])
    assert found is not None
    assert all(may_hold(hash) for hashes in found.neighbors for hash in hashes)
    others = [full_text_index.neighbors_hash(f"a{number}", f"b{number}") for number in range(1000)]
    assert sum(map(may_hold, others)) < 1000 * len(sequence) / (8 * len(bits)) * 1.3


@pytest.mark.parametrize("is_narrow", [True, False])
def test_the_filter_rules_out_phrases(alice: User, is_narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("documents.search.scope.MAX_COUNTED_DOCUMENTS", 5000 if is_narrow else 0)
    add(alice, "the old red house")
    assert search(alice, Question('"red house"'))
    ChunkTerms.objects.update(neighbours=b"\0\0\0\0")
    assert search(alice, Question('"house"'))
    assert not best(alice, '"red house"')
