"""Files that arrive late, in part, or not as they were uploaded."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiworkstation_client import AiwError, BadAnswer, NotFound

from tests.clients.python.conftest import MakeClient
from tests.clients.python.flaky_server import CUT, Reply, Serve, error

BODY = b"The notice period is four weeks." * 1000
HALF = Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 32000\r\n\r\n" + BODY[:16000])
DOCUMENT: dict[str, Any] = {
    **dict.fromkeys(
        ("duplicateOf", "parentId", "error", "pageCount", "wordCount", "chunkSize", "overlap", "projectId")
    ),
    **{"id": "d1", "uid": "u1", "filename": "a.txt", "fileType": "txt", "fileSize": len(BODY), "chunkCount": 0},
    **{"sha256": sha256(BODY).hexdigest(), "status": "uploaded", "warnings": [], "tags": [], "mode": "General"},
    **{"createdAt": "2026-01-01T00:00:00.123Z", "indexedAt": None},
}


def test_it_works(make_client: MakeClient, serve: Serve, tmp_path: Path) -> None:
    server = serve(Reply(200, DOCUMENT), Reply(200, BODY))
    assert make_client(server.url, "t").download_file("d1", tmp_path / "a.txt").read_bytes() == BODY


def test_a_cut_download_begins_again(
    make_client: MakeClient, serve: Serve, tmp_path: Path, pauses: list[float]
) -> None:
    server = serve(Reply(200, DOCUMENT), HALF, CUT, error(503), Reply(200, BODY))
    target = make_client(server.url, "t").download_file("d1", tmp_path / "a.txt")
    assert target.read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("reply", [HALF, CUT, error(404, "not_found"), Reply(200, b"x" * 32000)], ids=repr)
def test_what_failed_leaves_the_old_file(
    make_client: MakeClient, serve: Serve, tmp_path: Path, pauses: list[float], reply: Reply
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(AiwError):
        make_client(serve(Reply(200, DOCUMENT), reply).url, "t", retries=1).download_file("d1", target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_other_bytes_are_refused(make_client: MakeClient, serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(BadAnswer, match="not those of the document"):
        make_client(serve(Reply(200, DOCUMENT), Reply(200, b"other")).url, "t").download_file("d1", tmp_path / "a")


def test_nowhere_to_write(make_client: MakeClient, serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make_client(serve(Reply(200, DOCUMENT), Reply(200, BODY)).url, "t").download_file("d1", tmp_path / "no" / "a")


def test_a_document_that_is_not_there(make_client: MakeClient, serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        make_client(serve(error(404, "not_found")).url, "t").download_file("d1", tmp_path / "a")
