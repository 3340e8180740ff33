"""Real documents, good and bad together, in one bulk job: each ends as its row of the manifest says.

Slow because hundreds of documents are uploaded, read, indexed and searched for.
"""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import finished

Row = dict[str, str]

# Documents inside others: a mail's attachment, the mail that came back with another, the text in a ZIP named .docx. A
# picture in a PDF is a warning of the PDF.
MEMBERS = {
    "good/mail-attachment-pdf.eml": "failed",
    "good/mail-bounce.eml": "indexed",
    "bad/just-a-zip.docx": "indexed",
}


@pytest.mark.slow
def test_the_whole_corpus(api: httpx2.Client, worker: None, corpus: Path, corpus_rows: list[Row]) -> None:
    stored = {row["file"]: upload(api, corpus / row["file"]) for row in corpus_rows}
    empty = {row["file"] for row in corpus_rows if int(row["size"]) == 0}
    assert {file for file, id in stored.items() if id is None} == empty
    rows = {id: row for row in corpus_rows if (id := stored[row["file"]])}
    body = {"jobType": "bulk-documents", "payload": {"documents": [{"id": id} for id in rows]}}
    started = api.post("/jobs", json=body).raise_for_status().json()
    job = finished(api, started["jobId"], seconds=600)
    assert job["status"] == "completed_with_errors"
    documents = every(api, "/documents", "documents")
    members = [document for document in documents if document["parentId"]]
    documents = [document for document in documents if not document["parentId"]]
    assert {rows[member["parentId"]]["file"]: member["status"] for member in members} == MEMBERS
    assert job["progress"]["total"] == len(documents) + len(members)
    wrong = {
        rows[document["id"]]["file"]: (document["status"], document["error"])
        for document in documents
        if not as_expected(document, rows[document["id"]])
    }
    assert wrong == {}
    indexed = {document["id"] for document in documents if document["status"] == "indexed"}
    assert lost(api, {id: row for id, row in rows.items() if id in indexed}) == []


def upload(api: httpx2.Client, path: Path) -> str | None:
    """The document's id, or None where the upload was refused."""
    with path.open("rb") as file:
        answer = api.post("/documents", files={"file": (path.name, file)})
    if answer.status_code == 400:
        assert answer.json()["rejected"][0]["code"] == "empty", answer.text
        return None
    id: str = answer.raise_for_status().json()["documents"][0]["id"]
    return id


def as_expected(document: dict[str, Any], row: Row) -> bool:
    code = document["error"]["code"] if document["error"] else "ok"
    if row["file"].startswith("good/"):
        return code in row["expected"].split("|")
    codes = row["codes"].split()
    return code in codes or ("*" in codes and code != "crashed")


def lost(api: httpx2.Client, rows: dict[str, Row]) -> list[str]:
    """Files that no phrase of their `must_contain` finds."""
    missing = []
    for id, row in rows.items():
        phrases = [phrase for phrase in row["must_contain"].split(";") if phrase]
        if not phrases:
            continue
        if not any(id in found(api, phrase) for phrase in phrases):
            missing.append(row["file"])
    return missing


def found(api: httpx2.Client, phrase: str) -> set[str]:
    """The documents that a search for this phrase finds. Copies of a file are as good as the file."""
    answer = api.get("/search", params={"q": re.sub(r'["\-]', " ", phrase), "limit": 20}).raise_for_status()
    return {result["documentId"] for result in answer.json()["results"]}


def every(api: httpx2.Client, path: str, key: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": "200", "status": "all", **({"cursor": cursor} if cursor else {})}
        page = api.get(path, params=params).raise_for_status().json()
        items += page[key]
        cursor = page["nextCursor"]
        if cursor is None:
            return items
