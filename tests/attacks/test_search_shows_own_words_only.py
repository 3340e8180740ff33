"""What a search tells about the documents of others: nothing. Answers are the same before and after they are stored."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from documents.search import term_statistics
from tests.support.documents import add

OWN = {
    "one": "the word projektfalke is here, between others",
    "two": "the word unheardof is here, between others",
    "three": "projektfalke projektfalke and unheardof and others, a longer text than the others are, about everything",
    "four": "häuser und gärten",
    "five": "houses and gardens: budget 2026, falconry, falcon",
}
QUESTIONS = [
    "projektfalke",
    "unheardof",
    "projektfalke unheardof",
    "unheardof others",
    '"projektfalke is here"',
    "projekt*",
    "projektfalke -unheardof",
    "falc* budget",
    "haus garten",
    "three projektfalke",
    "nowhere",
    "nowhere projektfalke",
]


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In a large table, words are weighed with PostgreSQL's statistics."""
    if request.param == "large":
        monkeypatch.setattr(term_statistics, "SMALL_BYTES", 0)
    return str(request.param)


def refresh() -> None:
    """A minute later, and after autovacuum."""
    term_statistics._cached.clear()
    term_statistics._owners.clear()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE document_terms")


def answers(client: Client, **filters: str) -> dict[str, Any]:
    refresh()
    found = {text: client.get("/api/search", {"q": text, **filters}) for text in QUESTIONS}
    assert {response.status_code for response in found.values()} == {200}
    return {text: response.json() for text, response in found.items()}


def words_of_others(owner: User) -> None:
    for number in range(30):
        add(owner, f"projektfalke {number} falcon falconer budget", filename=f"projektfalke {number}.txt")
    add(owner, "und die häuser und die gärten sind schön, und der budget auch " * 20, tags=["unheardof"])
    add(owner, "long text about nothing at all " * 300)


@pytest.mark.parametrize("filters", [{}, {"projectId": "mine"}, {"tag": "red"}, {"documentId": "three"}], ids=str)
def test_words_of_others_change_no_answer(
    alice: User, bob: User, as_bob: Client, filters: dict[str, str], size: str
) -> None:
    for name, text in OWN.items():
        add(bob, text, client_id=name, filename=f"{name}.txt", project_id="mine", tags=["red"])
    add(alice, "any text of others, so that there are some")
    before = answers(as_bob, **filters)
    assert before["projektfalke"]["results"]
    words_of_others(alice)
    assert answers(as_bob, **filters) == before


def test_own_words_do(alice: User, as_alice: Client, size: str) -> None:
    add(alice, OWN["one"])
    before = answers(as_alice)
    words_of_others(alice)
    assert answers(as_alice)["projektfalke"]["results"][0]["score"] != before["projektfalke"]["results"][0]["score"]


def test_documents_written_after_those_of_others_score_alike(
    alice: User, bob: User, charlie: User, as_alice: Client, as_bob: Client, size: str
) -> None:
    """The impact of a word in a chunk is stored when the chunk is written."""
    for name, text in OWN.items():
        add(alice, text, filename=f"{name}.txt")
    before = scores(as_alice)
    words_of_others(charlie)
    refresh()
    for name, text in OWN.items():
        add(bob, text, filename=f"{name}.txt")
    assert scores(as_bob) == before


def scores(client: Client) -> dict[str, list[tuple[str, float]]]:
    found = answers(client)
    return {text: [(hit["filename"], hit["score"]) for hit in answer["results"]] for text, answer in found.items()}


def test_a_document_of_another_and_none_look_the_same(alice: User, as_bob: Client) -> None:
    document = add(alice, OWN["one"], client_id="secret-plan")
    for query in ({"documentId": str(document.uid)}, {"documentId": "secret-plan"}, {"projectId": "mine"}):
        none = as_bob.get("/api/search", {"q": "projektfalke"} | dict.fromkeys(query, "nowhere"))
        others = as_bob.get("/api/search", {"q": "projektfalke"} | query)
        assert (others.status_code, others.json()) == (none.status_code, none.json())
