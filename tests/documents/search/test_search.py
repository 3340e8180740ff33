import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from documents.models import Document
from documents.search import Question, Result, search
from documents.search.ranking import MAX_PER_DOCUMENT
from tests.support.documents import add, index


def find(user: User, text: str, **filters: Any) -> list[str]:
    """Returns the ids of the found documents, best first."""
    return [result.document_id for result in search(user, Question(text, **filters))]


def one(user: User, text: str) -> Result:
    (result,) = search(user, Question(text))
    return result


def test_it_works(alice: User) -> None:
    document = add(alice, "The harvest was good this year.", client_id="doc1")
    result = one(alice, "harvest")
    chunk = document.current_chunks().get()
    assert (result.document_id, result.filename, result.page) == ("doc1", "hello.txt", 1)
    assert (result.chunk_id, result.snippet.text) == (str(chunk.pk), "The harvest was good this year.")
    assert result.snippet.marks == ((4, 11),)
    assert result.score > 0


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The universities of Europe", "university"),
        ("Die Übergrößen der Straße", "übergrößen strasse"),
        ("Die Übergrößen der Straße", "Ubergrossen"),
        ("Résumé d’été – naïve", "resume d'ete"),
        ("Все люди рождаются свободными", "рождаются свободными"),
        ("Invoice No. 4,711.50 (net)", "4,711.50"),
        ("Section 3.2.1: and/or C++", "and/or C++"),
        ("write to jane.doe@example.org or http://example.org/a/b?c=1", "example.org/a/b"),
        ("To be, or not to be", "to be or not to be"),
        ("An ef\u00adfi\u00adcient ﬁre", "efficient fire"),
        ("the fi\u0301nal re\u0301sume\u0301", "résumé"),
        ("人人生而自由，在尊严和权利上一律平等。", "生而自由"),
        ("すべての人間は、生まれながらにして自由", "人間"),
        ("모든 인간은 태어날 때부터 자유로우며", "인간"),
        ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน", "อิสระ"),
        ("جميع الناس أحرارًا", "الناس"),
        ("the value_of_x is 5", "value_of_x"),
        ("It isn't what it was", "isn't"),
    ],
)
def test_it_finds(alice: User, text: str, question: str) -> None:
    add(alice, text, client_id="doc1")
    add(alice, "Nothing of that kind at all", client_id="other")
    assert find(alice, question)[:1] == ["doc1"]


@pytest.mark.parametrize("question", ["", "  ", "!?", '""', "-", "\0", "☃"])
def test_a_question_without_words_finds_nothing(alice: User, question: str) -> None:
    add(alice, "Hello world.")
    assert find(alice, question) == []


@pytest.mark.parametrize(
    "question", ["'", "a'b:*&|!", "\\", "x" * 3000, "((", "<->", "hello:*", '"hello', "%s", "1e400"]
)
def test_no_question_breaks_it(alice: User, question: str) -> None:
    add(alice, "hello 1e400")
    find(alice, question)


def test_a_phrase_goes_before_its_scattered_words(alice: User) -> None:
    add(alice, "light light light in the the room, of of course " * 3, client_id="scattered")
    add(alice, "Much was decided in the light of the evidence that day, and more besides " * 2, client_id="phrase")
    assert find(alice, "in the light of")[0] == "phrase"


def test_rare_words_count_more(alice: User) -> None:
    for number in range(5):
        add(alice, f"report report report on case {number}", client_id=f"common{number}")
    add(alice, "a short report about zirconium and its many uses in industry", client_id="rare")
    assert find(alice, "report zirconium")[0] == "rare"


def test_quoted_phrases_must_be_there(alice: User) -> None:
    add(alice, "the red house and the blue car", client_id="apart")
    add(alice, "the blue house", client_id="together")
    assert set(find(alice, "blue house")) == {"apart", "together"}
    assert find(alice, '"blue house"') == ["together"]


def test_words_behind_a_minus_must_not(alice: User) -> None:
    add(alice, "apples and pears", client_id="both")
    add(alice, "apples alone", client_id="one")
    assert find(alice, "apples -pears") == ["one"]
    assert find(alice, 'apples -"and pears"') == ["one"]


@pytest.mark.parametrize("question", ["univers*", "universit*", "univ* -diversity", "UNIVÉR*"])
def test_what_begins_so(alice: User, question: str) -> None:
    add(alice, "the universities of Europe", client_id="universities")
    add(alice, "a diversity of things", client_id="diversity")
    assert find(alice, question) == ["universities"]


def test_a_beginning_is_as_it_is_written(alice: User) -> None:
    """`universe` and `universities` have the same stem."""
    add(alice, "all of the universe", client_id="universe")
    add(alice, "old universities", client_id="universities")
    assert find(alice, "universit*") == ["universities"]
    assert set(find(alice, "universities")) == {"universities", "universe"}
    assert find(alice, "old universe*") == ["universe"]


@pytest.mark.parametrize(
    "question",
    [
        "meier -bob",
        "meier −bob",
        '-"to bob"',
        "-bob",
        'meier "4711"',
        'invoice "to meier"',
        "invoice zeb*",
        '"meier" -invoice',
    ],
)
def test_signs_that_leave_nothing_find_nothing(alice: User, question: str) -> None:
    add(alice, "an invoice of meier to bob, number 4712")
    found = search(alice, Question(question))
    assert (found, found.is_relaxed) == ([], False)


@pytest.mark.parametrize(
    "question",
    [
        "„blue house“",
        "«blue house»",
        "“blue house”",
        "»blue house«",
        "« blue house »",
        "＂blue house＂",
        "『blue house』",
    ],
)
def test_typographic_quotation_marks(alice: User, question: str) -> None:
    add(alice, "the red house and the blue car", client_id="apart")
    add(alice, "the blue house", client_id="together")
    assert find(alice, question) == ["together"]
    assert find(alice, f"the -{question}") == ["apart"]


@pytest.mark.parametrize("question", ['24" screen', 'a 5" pipe and a 6" valve', '"red', 'צה"ל'])
def test_a_mark_that_opens_no_phrase(alice: User, question: str) -> None:
    add(alice, "a red valve, a pipe of צה״ל and a screen", client_id="doc1")
    assert find(alice, question) == ["doc1"]


@pytest.mark.parametrize(
    ("question", "is_relaxed"),
    [
        ("harvest", False),
        ("good harvests", False),
        ("harvest of zirconium", True),
        ("the harvest -poor", False),
        ("owl", False),
    ],
)
def test_an_answer_with_some_of_the_words_is_relaxed(alice: User, question: str, is_relaxed: bool) -> None:
    add(alice, "The harvest was good this year.")
    assert search(alice, Question(question)).is_relaxed is is_relaxed


def test_signs_in_prose_are_punctuation(alice: User) -> None:
    """A pasted paragraph is not a query. Its quotation marks and dashes are not meant as signs."""
    add(alice, "The harvest was good this year.", client_id="doc1")
    prose = (
        'The yearly report says: "everything failed" -rain and hail, harvest lost, all of the barns burnt twice a year'
    )
    found = search(alice, Question(prose))
    assert [result.document_id for result in found] == ["doc1"]
    assert found.is_relaxed
    assert find(alice, '"' + "one two three " * 10 + 'harvest" good') == [], "the words of a quotation do not count"


def test_the_end_of_a_long_question_counts(alice: User) -> None:
    add(alice, "all about zirconium", client_id="doc1")
    add(alice, "nothing of that kind", client_id="other")
    filler = " ".join(f"filler{number}" for number in range(300))
    assert find(alice, f"{filler} zirconium") == ["doc1"]


def test_a_long_document_does_not_fill_the_answer(alice: User) -> None:
    text = "\n\n".join(f"The harvest of year {n} was good and the barns were full." for n in range(300))
    document = index(alice, add(alice, text, client_id="long"), chunk_size=50, overlap=0)
    add(alice, "A poor harvest", client_id="short")
    assert sorted(find(alice, "harvest")) == ["long"] * MAX_PER_DOCUMENT + ["short"]
    assert len(find(alice, "harvest", document_id="long", limit=20)) == 20
    assert document.chunk_count > 20


def test_filters(alice: User) -> None:
    add(alice, "harvest one", client_id="a", project_id="farm", tags=["x", "y"])
    add(alice, "harvest,two\n1,2\n", "b.csv", client_id="b", tags=["y"])
    assert find(alice, "harvest", project_id="farm") == ["a"]
    assert find(alice, "harvest", tag="x") == ["a"]
    assert set(find(alice, "harvest", tag="y")) == {"a", "b"}
    assert find(alice, "harvest", file_type="csv") == ["b"]
    assert find(alice, "harvest", document_id="b") == ["b"]
    assert find(alice, "harvest", document_id="nothing") == []
    assert len(find(alice, "harvest", limit=1)) == 1


def test_permissions(alice: User, bob: User, charlie: User) -> None:
    document = add(alice, "harvest", client_id="doc1")
    assert find(alice, "harvest") == ["doc1"]
    assert find(bob, "harvest") == []
    assert find(bob, "harvest", document_id=str(document.uid)) == []
    assert find(charlie, "harvest") == [], "staff, too, search what they own"
    assert find(charlie, "harvest", document_id=str(document.uid)) == [str(document.uid)]
    add(charlie, "harvest", client_id="mine")
    assert find(charlie, "harvest") == ["mine"]


def test_only_the_present_generation_is_found(alice: User) -> None:
    document = add(alice, "harvest")
    Document.objects.filter(pk=document.pk).update(generation=2)
    assert find(alice, "harvest") == []


@pytest.mark.django_db(transaction=True)
def test_search_during_reindexing_is_never_empty_or_mixed(alice: User) -> None:
    text = "\n\n".join(f"Passage {number} tells of the harvest and of the barns." for number in range(60))
    document = add(alice, text, client_id="doc")
    counts = {index(alice, document, size, 0).chunk_count for size in (60, 30)}
    assert len(counts) == 2
    done = threading.Event()
    seen = []

    def look() -> None:
        try:
            while not done.is_set():
                seen.append(len(search(alice, Question("harvest", limit=200, document_id="doc"))))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        for number in range(12):
            index(alice, document, (60, 30)[number % 2], 0)
        done.set()
        for future in looking:
            future.result()
    assert set(seen) == counts
