"""`/documents/`, a document's page, and `/search`."""

import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.html import escape, strip_tags
from pytest_django.asserts import assertNumQueries, assertRedirects
from pytest_django.fixtures import Settings

from documents.models import Document
from documents.search.snippets import Snippet
from jobs.start import start
from tests.support.builder import write_epub
from tests.support.documents import SAMPLES, index, upload
from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim
from workflows.models import WorkflowStep

LIVE = "document-list-live"


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def begin(user: User, *documents: Document) -> WorkflowStep:
    """Starts an ingestion and marks its first step as running."""
    payload = {"documents": [{"id": document.client_id} for document in documents]}
    job, _ = start(user, {"jobType": "bulk-documents", "payload": payload})
    return WorkflowStep.objects.get(pk=claim(job.pk)[0].step_id)


def test_it_works(alice: User, at_alice: Client) -> None:
    document = index(alice, upload(alice, "The price of lanterns rose.", "prices.txt", tags=["legal"]))
    Document.objects.update(metadata={"title": "Prices"})
    page = at_alice.get("/documents/")
    assert "prices.txt" in text(page)
    assert "1 page · 1 chunk" in text(page)
    assert not is_polling(page, LIVE)
    detail = text(at_alice.get(f"/documents/{document.uid}"))
    assert "The price of lanterns rose." in detail
    assert document.sha256 in detail
    assert "<dt>Title</dt><dd>Prices</dd>" in detail
    assert f'href="/api/documents/{document.uid}/file"' in detail
    assert "characters 0–27" in text(at_alice.get(f"/documents/{document.uid}?view=chunks"))


def test_a_failed_one_says_why_and_what_to_do(alice: User, at_alice: Client) -> None:
    document = upload(alice)
    error = {"code": "encrypted", "message": "Remove the password.", "retryable": False}
    Document.objects.filter(pk=document.pk).update(status="failed", error=error)
    assert "Remove the password." in text(at_alice.get("/documents/"))
    assert "Remove the password." in text(at_alice.get(f"/documents/{document.uid}"))


def test_it_follows_the_job(alice: User, at_alice: Client) -> None:
    first, second = upload(alice, "One."), upload(alice, "Two.")
    step = begin(alice, first, second)
    url = poll_url(at_alice.get("/documents/"), LIVE)
    assert at_alice.get(url).status_code == 204
    WorkflowStep.objects.filter(pk=step.pk).update(progress=45, message="page 54 of 120")
    answer = at_alice.get(url)
    assert swapped(answer) == [f"document-{first.uid}-state", LIVE]
    assert 'value="45"' in text(answer)
    assert "page 54 of 120" in text(answer)


def test_a_poll_is_three_queries(alice: User, at_alice: Client) -> None:
    documents = [upload(alice, f"Text {number}.") for number in range(12)]
    begin(alice, *documents)
    url = poll_url(at_alice.get("/documents/"), LIVE)
    with assertNumQueries(3):  # session, user, documents with their steps
        assert at_alice.get(url).status_code == 204


def test_filters(alice: User, at_alice: Client) -> None:
    upload(alice, "One.", "red.txt", project_id="p1", tags=["legal"])
    index(alice, upload(alice, "Two.", "blue.txt"))

    def shown(query: str) -> list[str]:
        page = text(at_alice.get(f"/documents/?{query}"))
        return [name for name in ("red.txt", "blue.txt") if name in page]

    assert shown("state=uploaded") == shown("project=p1") == shown("tag=legal") == shown("q=RED") == ["red.txt"]
    assert shown("state=indexed") == ["blue.txt"]
    assert shown("state=nonsense&q=%00") == ["red.txt", "blue.txt"]


def test_upload_only(alice: User, at_alice: Client) -> None:
    sent = {"file": [SimpleUploadedFile("a.txt", b"Hello.")], "tags": "x" * 101, "mode": "General"}
    assert "at most 100" in text(at_alice.post("/documents/upload", sent, follow=True))
    sent = {"file": [SimpleUploadedFile("a.txt", b"Hello.")], "tags": "x, y", "mode": "General"}
    assertRedirects(at_alice.post("/documents/upload", sent), "/documents/")
    document = Document.objects.get(owner=alice)
    assert (document.filename, document.tags, document.status) == ("a.txt", ["x", "y"], "uploaded")


def test_a_message_names_duplicates(alice: User, at_alice: Client) -> None:
    upload(alice, "1", "first.txt")
    again = [SimpleUploadedFile("again.txt", b"1")]
    page = text(at_alice.post("/documents/upload", {"file": again, "mode": "General"}, follow=True))
    assert "again.txt was uploaded before as first.txt" in page
    more = [SimpleUploadedFile(f"{number}.txt", b"1") for number in range(3)]
    page = text(at_alice.post("/documents/upload", {"file": more, "mode": "General"}, follow=True))
    assert "3 files were uploaded before" in page


def test_many_refused_files_become_few_messages(alice: User, at_alice: Client) -> None:
    files = [SimpleUploadedFile(f"{number}.txt", b"") for number in range(30)]
    page = text(at_alice.post("/documents/upload", {"file": files, "mode": "General"}, follow=True))
    assert page.count("The file is empty") == 20
    assert "10 more files were refused." in page


def test_delete(alice: User, at_alice: Client) -> None:
    gone, busy, kept = upload(alice, "1", "gone.txt"), upload(alice, "2", "busy.txt"), upload(alice, "3", "kept.txt")
    begin(alice, busy)
    sent = {"document": [str(gone.uid), str(busy.uid)]}
    page = text(at_alice.post("/documents/delete", sent, follow=True))
    assert "gone.txt was deleted" in page
    assert "busy.txt: A job works on the document" in page
    assert {document.pk for document in Document.objects.all()} == {busy.pk, kept.pk}


def test_nobody_else(alice: User, at_bob: Client, at_charlie: Client) -> None:
    document = index(alice, upload(alice, "The price of lanterns rose.", "prices.txt"))
    assert "prices.txt" not in text(at_bob.get("/documents/"))
    assert "prices.txt" not in text(at_bob.get("/search?q=lanterns"))
    assert at_bob.get(f"/documents/{document.uid}").status_code == 404
    at_bob.post("/documents/delete", {"document": [str(document.uid)]})
    assert Document.objects.filter(pk=document.pk).exists()
    assert at_charlie.get(f"/documents/{document.uid}").status_code == 200


def links(page: str, start: str) -> list[str]:
    return [unescape(address) for address in re.findall(r'href="([^"]*)"', page) if address.startswith(start)]


def test_search_leads_to_the_passage(alice: User, at_alice: Client, tmp_path: Path) -> None:
    filler = "Filler, so that there are chunks. " * 300
    said = f"<p>{filler}</p><p>The &lt;b&gt;price&lt;/b&gt; of lanterns rose.</p><p>{filler}</p>"
    book = write_epub(tmp_path / "prices.epub", {"third": "<p>3</p>", "second": said, "first": "<p>The first.</p>"})
    document = index(alice, upload(alice, book.read_bytes(), book.name))
    page = text(at_alice.get("/search?q=lantern"))
    assert "&lt;b&gt;price&lt;/b&gt; of <mark>lanterns</mark>" in page
    link = links(page, f"/documents/{document.uid}")[0]
    chunk = document.current_chunks().get(pk=re.findall(r"chunk=(\d+)&", link)[0])
    assert link == f"/documents/{document.uid}?from=2&chunk={chunk.pk}&q=lantern#passage"
    shown = text(at_alice.get(link))
    (before, found, after) = split_at_chunk(shown)
    assert "&lt;b&gt;price&lt;/b&gt; of <mark>lanterns</mark> rose." in found
    assert "".join([before, strip_tags(found), after]) == escape(document.current_pages().get(number=2).text)
    assert strip_tags(found) == escape(chunk.text)
    assert "Nothing in your indexed documents" in text(at_alice.get("/search?q=submarines"))
    assert at_alice.get("/search?q=%00&project=%00").status_code == 200


def split_at_chunk(page: str) -> tuple[str, str, str]:
    """Returns the text of the page with the found chunk: before it, the chunk, and after it."""
    found = re.search(r'<div class="plain">([^<]*)<span id="passage"[^>]*>(.*?)</span>([^<]*)</div>', page, re.S)
    assert found
    return found[1], found[2], found[3]


@pytest.mark.parametrize(
    ("written", "question", "mark"),
    [
        ("人人生而自由，在尊严和权利上一律平等。", "尊严", "尊严"),
        ("يولد جميع الناس أحرارا", "الناس", "الناس"),
        ("Alle Verträge sind kündbar.", "Vertrag", "Verträge"),
        ("Lantern prices and lamps.", "lan*", "Lantern"),
        ("Lantern prices.", '"lantern price"', "Lantern"),
    ],
)
def test_words_of_a_found_chunk_are_marked_like_snippets(
    alice: User, at_alice: Client, written: str, question: str, mark: str
) -> None:
    index(alice, upload(alice, written, "prices.txt"))
    page = text(at_alice.get("/search", {"q": question}))
    assert f"<mark>{mark}</mark>" in page
    (link,) = links(page, "/documents/0")
    assert f"<mark>{mark}</mark>" in split_at_chunk(text(at_alice.get(link)))[1]


def test_search_says_if_no_passage_has_all_words(alice: User, at_alice: Client) -> None:
    index(alice, upload(alice, "The price of lanterns rose."))
    assert "No passage has all of these words." in text(at_alice.get("/search", {"q": "lantern zirconium"}))
    assert "No passage has all" not in text(at_alice.get("/search", {"q": "lantern price"}))
    assert "Nothing in your indexed documents matches." in text(at_alice.get("/search", {"q": "lantern -price"}))


def test_a_question_that_is_too_long(at_alice: Client) -> None:
    assert "shorten it to 10000 characters" in text(at_alice.get("/search", {"q": "x" * 10_001}))
    assert "Nothing in your indexed documents matches." in text(at_alice.get("/search", {"q": "x" * 10_000}))


def test_a_chunk_that_was_indexed_again_is_no_longer_marked(alice: User, at_alice: Client) -> None:
    document = index(alice, upload(alice, "The price of lanterns rose.", "prices.txt"))
    (link,) = links(text(at_alice.get("/search?q=lantern")), f"/documents/{document.uid}")
    index(alice, document)
    page = text(at_alice.get(link))
    assert "The price of lanterns rose." in page
    assert 'id="passage"' not in page
    assert at_alice.get(f"/documents/{document.uid}?chunk={'9' * 30}&q=%00").status_code == 200


def test_search_leads_into_the_pdf(alice: User, at_alice: Client, at_bob: Client) -> None:
    name = "quarterly-sales-report.pdf"
    pdf = index(alice, upload(alice, (SAMPLES / name).read_bytes(), name))
    last = pdf.current_chunks().order_by("-page")[0]
    word = max(last.text.split(), key=len)
    assert f"/documents/{pdf.uid}/file#page={last.page}" in links(
        text(at_alice.get("/search", {"q": word})), "/documents"
    )
    shown = at_alice.get(f"/documents/{pdf.uid}/file")
    assert shown["Content-Type"] == "application/pdf"
    assert shown["Content-Disposition"].startswith("inline")
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert at_bob.get(f"/documents/{pdf.uid}/file").status_code == 404
    page = index(alice, upload(alice, "<script>alert(1)</script>It says so.", "page.html"))
    assert at_alice.get(f"/documents/{page.uid}/file").status_code == 404


def test_search_keeps_to_a_tag_a_type_and_a_project(alice: User, at_alice: Client) -> None:
    index(alice, upload(alice, "The price of lanterns.", "red.txt", project_id="p1", tags=["legal"]))
    index(alice, upload(alice, "The price of lanterns, too.", "blue.txt"))
    shown = [
        [name for name in ("red.txt", "blue.txt") if name in text(at_alice.get(f"/search?q=lanterns&{query}"))]
        for query in ("", "tag=legal", "project=p1", "type=TXT", "type=pdf", "tag=other")
    ]
    assert shown == [["red.txt", "blue.txt"], ["red.txt"], ["red.txt"], ["red.txt", "blue.txt"], [], []]


def test_marks() -> None:
    assert Snippet("The <b> of the carter", ((0, 3), (15, 21))).as_html() == (
        "<mark>The</mark> &lt;b&gt; of the <mark>carter</mark>"
    )
    assert Snippet("The contract").as_html() == "The contract"


def test_a_document_names_what_it_holds_and_what_it_came_in(alice: User, at_alice: Client) -> None:
    archive, member = upload(alice, filename="papers.zip"), upload(alice, filename="inside.txt")
    Document.objects.filter(pk=member.pk).update(parent=archive)
    assert f'<a href="/documents/{member.uid}">inside.txt</a>' in text(at_alice.get(f"/documents/{archive.uid}"))
    assert f'<a href="/documents/{archive.uid}">papers.zip</a>' in text(at_alice.get(f"/documents/{member.uid}"))


def test_other_chunks_can_be_tried(alice: User, at_alice: Client) -> None:
    document = index(alice, upload(alice, "One two three four five. " * 60))
    address = f"/documents/{document.uid}/preview"
    assert address in text(at_alice.get(f"/documents/{document.uid}"))
    assert "Index again with these sizes" not in text(at_alice.get(address))
    page = text(at_alice.get(address, {"chunk_size": "36", "overlap": "6"}))
    assert "12 chunks of 3" in page
    assert "The first 10:" in page
    assert 'name="chunk_size" value="36"' in page
    document.refresh_from_db()
    assert (document.chunk_size, document.generation) == (500, 1)


def test_an_unknown_state_is_named(at_alice: Client) -> None:
    page = text(at_alice.get("/documents/?state=done"))
    assert "There is no state done. Choose one of: uploaded, queued, processing, indexed, failed." in page


@pytest.mark.parametrize(
    ("size", "overlap", "told"),
    [
        ("10", "10", "The overlap must be less"),
        ("0", "0", "greater than or equal to 1"),
        ("9000", "0", "less than or equal to 8000"),
        ("x", "0", "Enter a whole number"),
    ],
)
def test_chunks_that_cannot_be(alice: User, at_alice: Client, size: str, overlap: str, told: str) -> None:
    document = index(alice, upload(alice, "One two."))
    page = text(at_alice.get(f"/documents/{document.uid}/preview", {"chunk_size": size, "overlap": overlap}))
    assert told in page
    assert "Index again with these sizes" not in page


def test_no_preview_of_what_has_no_text_or_is_anothers(alice: User, bob: User, at_alice: Client) -> None:
    document = upload(alice)
    assertRedirects(at_alice.get(f"/documents/{document.uid}/preview"), f"/documents/{document.uid}")
    assert at_alice.get(f"/documents/{upload(bob).uid}/preview").status_code == 404
