"""GET and DELETE of documents, and GET /api/search. Alice is the owner, bob must be refused, charlie is staff."""

import unicodedata
from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import Document
from tests.support.documents import add, new_step, upload

VIEWS = ["", "/chunks", "/text", "/file"]


def get(client: Client, path: str, **query: Any) -> Any:
    response = client.get(f"/api/{path}", query)
    assert response.status_code == 200, response.content
    return response.json()


def listed(client: Client, **query: Any) -> list[str]:
    return [document["id"] for document in get(client, "documents", **query)["documents"]]


def test_it_works(alice: User, as_alice: Client) -> None:
    document = add(alice, "Hello world.", client_id="doc1")
    found = get(as_alice, "documents/doc1")
    assert found == get(as_alice, f"documents/{document.uid}")
    assert (found["id"], found["status"], found["pageCount"], found["wordCount"]) == ("doc1", "indexed", 1, 2)
    assert (found["chunkCount"], found["chunkSize"], found["overlap"]) == (1, 500, 100)
    assert found["indexedAt"].endswith("Z")


@pytest.mark.parametrize("view", VIEWS)
def test_nobody_else_reaches_it(alice: User, as_bob: Client, as_charlie: Client, view: str) -> None:
    document = add(alice, "Hello world.", client_id="doc1")
    for id in ("doc1", document.uid):
        assert as_bob.get(f"/api/documents/{id}{view}").status_code == 404
    assert as_charlie.get(f"/api/documents/{document.uid}{view}").status_code == 200
    assert as_charlie.get(f"/api/documents/doc1{view}").status_code == 404
    assert Client().get(f"/api/documents/doc1{view}").status_code == 401


@pytest.mark.parametrize("id", ["nothing", "a b", "%00", "..%2f..", "x" * 300, "01890000-0000-7000-8000-000000000000"])
def test_what_is_not_there(as_alice: Client, id: str) -> None:
    for view in VIEWS:
        assert as_alice.get(f"/api/documents/{id}{view}").status_code == 404
    assert as_alice.delete(f"/api/documents/{id}").status_code == 404


def test_with_a_slash(alice: User, as_alice: Client) -> None:
    add(alice, "Hello world.", client_id="doc1")
    for path in ("documents/", "documents/doc1/", "documents/doc1/text/", "search/?q=hello"):
        assert as_alice.get(f"/api/{path}").status_code == 200


def test_an_own_name_goes_before_anothers_uid(alice: User, charlie: User, as_charlie: Client) -> None:
    hers = upload(alice)
    upload(charlie, "Mine.", client_id=str(hers.uid))
    assert get(as_charlie, f"documents/{hers.uid}")["sha256"] != hers.sha256


def test_unchanged_is_a_304(alice: User, as_alice: Client) -> None:
    document = add(alice, "Hello world.", client_id="doc1")
    paths = ["/api/documents", "/api/documents/doc1", "/api/documents/doc1/text", "/api/documents/doc1/chunks"]
    tags = {path: as_alice.get(path)["ETag"] for path in paths}
    for path, tag in tags.items():
        assert as_alice.get(path, headers={"if-none-match": tag}).status_code == 304
    Document.objects.filter(pk=document.pk).update(tags=["new"])
    for path in paths[:2]:
        assert as_alice.get(path, headers={"if-none-match": tags[path]}).status_code == 200


def test_list(alice: User, bob: User, as_alice: Client, as_charlie: Client) -> None:
    for number in range(5):
        upload(alice, f"text {number}", client_id=f"d{number}")
    upload(bob, client_id="his")
    assert listed(as_alice) == ["d4", "d3", "d2", "d1", "d0"]
    first = get(as_alice, "documents", limit=2)
    second = get(as_alice, "documents", limit=2, cursor=first["nextCursor"])
    third = get(as_alice, "documents", limit=2, cursor=second["nextCursor"])
    pages = [[document["id"] for document in page["documents"]] for page in (first, second, third)]
    assert pages == [["d4", "d3"], ["d2", "d1"], ["d0"]]
    assert third["nextCursor"] is None
    assert listed(as_charlie) == []
    assert len(listed(as_charlie, owner="all")) == 6
    assert listed(as_charlie, owner="bob") == ["his"]
    assert listed(as_alice, owner="bob") == []
    assert len(listed(as_alice, owner="all")) == 5


def test_list_filters(alice: User, as_alice: Client) -> None:
    add(alice, "Hello world.", "hello.txt", client_id="done", project_id="p", tags=["a", "b"])
    upload(alice, "a,b\n", "t.csv", client_id="new", mode="Sales")
    queued = upload(alice, "x", client_id="queued")
    Document.objects.filter(pk=queued.pk).update(step=new_step(alice))
    assert listed(as_alice, status="indexed") == ["done"]
    assert listed(as_alice, status=["uploaded", "queued"]) == ["queued", "new"]
    assert len(listed(as_alice, status="all")) == 3
    assert listed(as_alice, type="csv") == ["new"]
    assert listed(as_alice, mode="Sales") == ["new"]
    assert listed(as_alice, projectId="p") == ["done"]
    assert listed(as_alice, tag="b") == ["done"]
    assert listed(as_alice, q="T.CS") == ["new"]
    assert listed(as_alice, q="%") == []


@pytest.mark.parametrize("query", ["status=lost", "limit=0", "limit=201", "limit=x", "cursor=x", "colour=red", "q=%00"])
def test_bad_queries(as_alice: Client, query: str) -> None:
    response = as_alice.get(f"/api/documents?{query}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"].startswith(query.partition("=")[0])


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("documents?status=lost", "uploaded, queued, processing, indexed, failed, all"),
        ("documents?colour=red", "limit, cursor, type, mode, projectId, tag, q, owner, status"),
        ("search?q=x&colour=red", "q, limit, projectId, tag, type, documentId"),
    ],
)
def test_the_error_lists_what_is_known(as_alice: Client, path: str, known: str) -> None:
    (error,) = as_alice.get(f"/api/{path}").json()["errors"]
    assert error["detail"].endswith(f": {known}.")


def test_text_has_every_page(alice: User, as_alice: Client) -> None:
    add(alice, "Hello world.", client_id="doc1")
    upload(alice, "x", client_id="new")
    assert get(as_alice, "documents/doc1/text") == {"pages": [{"page": 1, "text": "Hello world."}]}
    assert get(as_alice, "documents/new/text") == {"pages": []}


@pytest.mark.parametrize("view", ["", "/text", "/file"])
def test_there_is_nothing_to_ask_of_one(alice: User, as_alice: Client, view: str) -> None:
    upload(alice, "Text.", client_id="doc1")
    assert as_alice.get(f"/api/documents/doc1{view}?colour=red").status_code == 400


def test_chunks(alice: User, as_alice: Client) -> None:
    text = " ".join(f"Sentence number {n} tells of the harvest." for n in range(200))
    document = add(alice, text, client_id="doc1")
    first = get(as_alice, "documents/doc1/chunks", limit=2)
    rest = get(as_alice, "documents/doc1/chunks", cursor=first["nextCursor"])
    chunks = [*first["chunks"], *rest["chunks"]]
    assert [chunk["index"] for chunk in chunks] == list(range(document.chunk_count))
    assert all(text[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)
    assert chunks[0].keys() == {"id", "index", "page", "start", "end", "tokens", "text"}


def test_file(alice: User, as_alice: Client) -> None:
    upload(alice, b"<script>alert(1)</script>", 'a"; x=\u00fc.html', client_id="doc1")
    response = as_alice.get("/api/documents/doc1/file")
    assert b"".join(response.streaming_content) == b"<script>alert(1)</script>"  # type: ignore[attr-defined]
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''a%22%3B%20x%3D%C3%BC.html"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]


def test_delete(alice: User, as_alice: Client, as_bob: Client) -> None:
    document = upload(alice, client_id="doc1")
    assert as_bob.delete(f"/api/documents/{document.uid}").status_code == 404
    assert as_alice.delete("/api/documents/doc1").status_code == 204
    assert as_alice.delete("/api/documents/doc1").status_code == 404


def test_staff_delete_by_uid(alice: User, as_charlie: Client) -> None:
    document = upload(alice)
    assert as_charlie.delete(f"/api/documents/{document.uid}").status_code == 204


def test_delete_while_a_job_works_on_it(alice: User, as_alice: Client) -> None:
    upload(alice, client_id="doc1")
    Document.objects.update(step=new_step(alice))
    response = as_alice.delete("/api/documents/doc1")
    assert response.status_code == 409
    assert response.json()["type"] == "client_error"
    assert Document.objects.exists()


def test_search(alice: User, as_alice: Client, as_bob: Client, as_charlie: Client) -> None:
    document = add(alice, "The harvest was good.", client_id="doc1", project_id="farm", tags=["autumn"])
    (result,) = get(as_alice, "search", q="harvest")["results"]
    assert result.keys() == {"documentId", "filename", "page", "chunkId", "snippet", "score"}
    assert result["documentId"] == "doc1"
    found = {"projectId": "farm", "tag": "autumn", "type": "txt", "documentId": "doc1", "limit": "1"}
    assert get(as_alice, "search", q="harvest", **found)["results"] == [result]
    for name in ("projectId", "tag", "type", "documentId"):
        assert get(as_alice, "search", **({"q": "harvest"} | found | {name: "other"}))["results"] == []
    assert get(as_bob, "search", q="harvest")["results"] == []
    assert get(as_bob, "search", q="harvest", documentId=str(document.uid))["results"] == []
    assert get(as_charlie, "search", q="harvest")["results"] == []
    by_id = get(as_charlie, "search", q="harvest", documentId=str(document.uid))
    assert by_id["results"][0]["documentId"] == str(document.uid)
    assert Client().get("/api/search?q=harvest").status_code == 401


@pytest.mark.parametrize("query", ["", "q=", "q=x&limit=0", "q=x&limit=201", "q=x&colour=red", "q=%00"])
def test_bad_searches(as_alice: Client, query: str) -> None:
    assert as_alice.get(f"/api/search?{query}").status_code == 400


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_with_accents_written_apart(alice: User, as_alice: Client, form: Literal["NFC", "NFD"]) -> None:
    upload(alice, filename=unicodedata.normalize("NFD", "Übersicht Zoë.txt"), client_id="apart")
    upload(alice, filename=unicodedata.normalize("NFC", "Übersicht Zoë.txt"), client_id="one")
    found = listed(as_alice, q=unicodedata.normalize(form, "Zoë"))
    assert set(found) == {"apart", "one"}


def test_search_shows_if_results_match_only_some_words(alice: User, as_alice: Client) -> None:
    add(alice, "An invoice of Meier to Bob.")
    assert get(as_alice, "search", q="meier")["relaxed"] is False
    assert get(as_alice, "search", q="meier zirconium") == get(as_alice, "search", q="meier zinc") | {"relaxed": True}
    assert get(as_alice, "search", q="meier -bob") == {"results": [], "relaxed": False}
    assert get(as_alice, "search", q='meier "4711"') == {"results": [], "relaxed": False}


def test_the_longest_question(alice: User, as_alice: Client) -> None:
    add(alice, "The harvest was good.")
    words = " ".join(f"word{chr(97 + number % 26) * (number // 26)}" for number in range(600))
    assert len(get(as_alice, "search", q=words[:9_992] + " harvest")["results"]) == 1
    response = as_alice.get("/api/search", {"q": "x" * 10_001})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert (error["code"], error["attr"]) == ("max_length", "q")
    assert "10000" in error["detail"]


def test_with_half_a_character_nothing_breaks(as_alice: Client) -> None:
    assert as_alice.get("/api/search?q=%ed%a0%80").status_code in (200, 400)
    assert as_alice.get("/api/documents?q=%ed%a0%80").status_code in (200, 400)


def test_preview_of_other_chunks(alice: User, as_alice: Client, as_bob: Client) -> None:
    document = add(alice, "One two three four five. " * 60, client_id="doc1")
    found = get(as_alice, "documents/doc1/preview", chunkSize="36", overlap="6")
    assert found.keys() == {"count", "tokens", "chunks"}
    assert (found["count"], len(found["chunks"])) == (12, 10)
    first, second = found["chunks"][:2]
    assert first.keys() == {"index", "page", "start", "end", "tokens", "text"}
    assert (first["index"], first["page"], first["start"]) == (0, 1, 0)
    assert second["start"] < first["end"], "they overlap"
    by_characters = get(as_alice, "documents/doc1/preview", chunkSize="36", overlap="6", unit="characters")
    assert all(chunk["end"] - chunk["start"] <= 36 for chunk in by_characters["chunks"])
    document.refresh_from_db()
    assert (document.generation, document.chunk_size) == (1, 500)
    assert as_bob.get(f"/api/documents/{document.uid}/preview").status_code == 404


@pytest.mark.parametrize("query", ["chunkSize=10&overlap=10", "chunkSize=0", "chunkSize=9000", "unit=words", "size=5"])
def test_previews_that_cannot_be(alice: User, as_alice: Client, query: str) -> None:
    add(alice, "One two.", client_id="doc1")
    assert as_alice.get(f"/api/documents/doc1/preview?{query}").status_code == 400


def test_no_preview_of_what_has_no_text(alice: User, as_alice: Client) -> None:
    upload(alice, client_id="doc1")
    answer = as_alice.get("/api/documents/doc1/preview")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "not_indexed")
