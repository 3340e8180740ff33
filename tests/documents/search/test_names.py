"""The file's name, its title and its tags are searched, with the text of its chunks."""

import unicodedata
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from documents.models import Document, DocumentNames
from documents.search import Question, search, write_names
from jobs.start import start
from tests.support.documents import add, index, upload


def find(user: User, text: str, **filters: Any) -> list[str]:
    return [result.document_id for result in search(user, Question(text, **filters))]


@pytest.fixture
def report(alice: User) -> Document:
    add(alice, "Bananas are yellow, and the harvest was good.", "fruit.txt", client_id="other")
    text = "<html><head><title>Zirconium survey</title></head><body><p>The harvest was good.</p></body></html>"
    return add(alice, text, "Jahresbericht_2023-PPR-9087.html", client_id="report", tags=["Łódź", "red fox"])


@pytest.mark.parametrize(
    "question",
    [
        "jahresbericht",
        "Jahresberichte 2023",
        "ppr9087",
        "zirconium",
        "zirconium surveys",
        "lodz",
        '"red fox"',
        '"Zirconium survey"',
        '"red fox" harvest',
        "zirc*",
        "jahresbericht -bananas",
        "Jahresbericht_2023-PPR-9087.html",
    ],
)
def test_names_titles_and_tags_are_found(alice: User, report: Document, question: str) -> None:
    assert find(alice, question) == ["report"]


def test_names_count_with_the_words_of_the_text(alice: User, report: Document) -> None:
    assert find(alice, "harvest zirconium") == ["report", "other"]
    assert search(alice, Question("harvest zirconium jahresbericht")).is_relaxed is False
    assert search(alice, Question("bananas zirconium")).is_relaxed is True
    assert find(alice, '"survey red"') == [], "a phrase does not go from the title to a tag"
    assert find(alice, '"good jahresbericht"') == []


def test_names_are_excluded(alice: User, report: Document) -> None:
    assert find(alice, "harvest") == ["other", "report"] or find(alice, "harvest") == ["report", "other"]
    for word in ("zirconium", '"red fox"', "jahresbericht", "ppr9087"):
        assert find(alice, f"harvest -{word}") == ["other"]


def test_the_scope_is_kept(alice: User, bob: User, report: Document) -> None:
    assert find(bob, "zirconium") == []
    assert find(alice, "zirconium", file_type="txt") == []
    assert find(alice, "zirconium", document_id="report") == ["report"]
    Document.objects.filter(pk=report.pk).update(generation=report.generation + 1)
    assert find(alice, "zirconium") == []


def test_a_name_in_parts_is_found(alice: User) -> None:
    add(alice, "Hello.", unicodedata.normalize("NFD", "Übersicht Zoë.txt"), client_id="doc1")
    assert find(alice, "Übersicht") == ["doc1"]
    assert find(alice, "zoe") == ["doc1"]


def test_a_name_counts_for_all_chunks_of_a_long_document(alice: User) -> None:
    text = "\n\n".join(f"The harvest of year {n} was good and the barns were full." for n in range(300))
    index(alice, upload(alice, text, "almanac.txt", client_id="long"), chunk_size=50, overlap=0)
    add(alice, "The harvest of year 250 was poor.", "other.txt", client_id="other")
    found = search(alice, Question("almanac 250"))
    assert found[0].document_id == "long"
    assert "250" in found[0].snippet.text


def test_tags_of_a_later_job_are_found_at_once(alice: User, report: Document) -> None:
    assert find(alice, "quarterly") == []
    start(alice, {"jobType": "bulk-documents", "payload": {"documents": [{"id": "report"}], "tags": ["Quarterly"]}})
    assert find(alice, "quarterly") == ["report"]


def test_a_deleted_document_leaves_no_name(alice: User, report: Document) -> None:
    assert DocumentNames.objects.count() == 2
    Document.objects.filter(pk=report.pk).delete()
    assert DocumentNames.objects.count() == 1
    assert find(alice, "zirconium") == []


def test_a_renamed_document(alice: User, report: Document) -> None:
    with transaction.atomic():
        Document.objects.filter(pk=report.pk).update(filename="ledger.html")
        write_names(Document.objects.filter(pk=report.pk))
    assert find(alice, "jahresbericht") == []
    assert find(alice, "ledger") == ["report"]


def test_a_word_of_very_many_names_hides_none(alice: User, report: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("documents.search.ranking.MAX_NAMES", 2)
    for number in range(3):
        add(alice, f"Nothing {number}", f"memo-{number}.html")
    assert find(alice, "jahresbericht html") == ["report"]
