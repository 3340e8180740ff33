from typing import Any

import pytest
from django.contrib.auth.models import User
from pydantic import ValidationError

from documents.tools import DocumentRead, DocumentSearch, IngestArguments, ReadArguments, SearchArguments
from tests.support.documents import add, context_for, upload
from workflows import tools
from workflows.errors import PermanentError


def read(user: User, **arguments: Any) -> dict[str, Any]:
    return DocumentRead().run(context_for(user), ReadArguments(**arguments))


def search(user: User, **arguments: Any) -> Any:
    return DocumentSearch().run(context_for(user), SearchArguments(**arguments))["results"]


@pytest.mark.parametrize(
    ("slug", "slot"),
    [
        ("DOCUMENT_INGEST", "process"),
        ("DOCUMENT_REPROCESS", "process"),
        ("DOCUMENT_READ", "thread"),
        ("DOCUMENT_SEARCH", "thread"),
    ],
)
def test_they_are_registered(slug: str, slot: str) -> None:
    tool = tools.get(slug)
    assert tool is not None
    assert tool.slot == slot


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"documentId": ""},
        {"documentId": "d", "chunkSize": 0},
        {"documentId": "d", "chunkSize": 100},
        {"documentId": "d", "overlap": 500},
        {"documentId": "d", "overlap": -1},
        {"documentId": "d", "page": 1},
    ],
)
def test_bad_ingest_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        IngestArguments(**arguments)


def test_read(alice: User) -> None:
    document = add(alice, "Hello world.", client_id="doc1")
    expected = {"documentId": "doc1", "filename": "hello.txt", "text": "Hello world."}
    assert read(alice, documentId="doc1") == read(alice, documentId=str(document.uid)) == expected


def test_read_a_table(alice: User) -> None:
    add(alice, "name,amount\nAda,3\n", "t.csv", client_id="t")
    rows = [["name", "amount"], ["Ada", "3"]]
    assert read(alice, documentId="t") == {"documentId": "t", "filename": "t.csv", "rows": rows}
    assert read(alice, documentId="t", maxChars=12) == {
        "documentId": "t",
        "filename": "t.csv",
        "rows": rows[:1],
        "truncated": True,
    }


def test_read_within_a_limit(alice: User) -> None:
    add(alice, "Hello world.", client_id="doc1")
    found = read(alice, documentId="doc1", maxChars=5)
    assert (found["text"], found["truncated"]) == ("Hello", True)


def test_read_a_page(alice: User) -> None:
    add(alice, "Hello world.", client_id="doc1")
    assert read(alice, documentId="doc1", page=1)["text"] == "Hello world."
    with pytest.raises(PermanentError) as error:
        read(alice, documentId="doc1", page=2)
    assert error.value.code == "no_such_page"


def test_read_what_has_not_been_indexed(alice: User) -> None:
    upload(alice, client_id="doc1")
    with pytest.raises(PermanentError) as error:
        read(alice, documentId="doc1")
    assert error.value.code == "not_indexed"


def test_read_what_is_not_there_or_not_ones_own(alice: User, bob: User) -> None:
    document = add(alice, "Hello world.", client_id="doc1")
    for id in ("doc1", str(document.uid), "nothing", ""):
        with pytest.raises((PermanentError, ValidationError)):
            read(bob, documentId=id)


def test_search(alice: User, bob: User, charlie: User) -> None:
    add(alice, "The harvest was good.", client_id="doc1", project_id="farm", tags=["autumn"])
    (found,) = search(alice, query="harvest")
    assert found.keys() == {"documentId", "filename", "page", "chunkId", "snippet", "score"}
    assert (found["documentId"], found["page"], found["snippet"]) == ("doc1", 1, "The harvest was good.")
    assert search(alice, query="harvest", projectId="farm", tag="autumn")
    assert not search(alice, query="harvest", projectId="city")
    assert not search(alice, query="harvest", tag="spring")
    assert not search(bob, query="harvest")
    assert not search(charlie, query="harvest"), "charlie is staff, and owns none"
