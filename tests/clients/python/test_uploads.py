"""Uploads through a real web server: in parallel, repeated, cut, and changed meanwhile."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiworkstation_client import (
    AsyncClient,
    BadRequest,
    Client,
    Conflict,
    FileChanged,
    NotAuthenticated,
    TooLarge,
    UploadProgress,
    UploadsFailed,
)

from documents.models import Document
from tests.clients.python.conftest import MakeClient
from tests.servers.cutting_proxy import Cut, CuttingProxy

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = 3_000_000


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.txt"
    path.write_bytes(os.urandom(LARGE))
    return path


def test_a_folder(client: Any, folder: Path) -> None:
    seen: list[UploadProgress] = []
    report = client.upload_files(folder, project_id="p1", tags=["t"], parallel=2, on_progress=seen.append)
    assert [each.filename for each in report.documents] == ["pelican.txt", "contract.md"]
    assert {(each.project_id, tuple(each.tags)) for each in report.documents} == {("p1", ("t",))}
    assert [(each.path.name, each.code) for each in report.failures] == [("empty.txt", "empty")]
    with pytest.raises(UploadsFailed, match=r"empty\.txt: empty"):
        report.raise_for_failures()
    ends = {each.path.name: each for each in seen if each.document or each.failure}
    assert set(ends) == {"contract.md", "pelican.txt", "empty.txt"}
    assert (ends["pelican.txt"].sent, ends["pelican.txt"].was_stored) == (ends["pelican.txt"].size, False)


def test_a_second_run_stores_nothing_again(client: Any, folder: Path) -> None:
    first = client.upload_files(folder)
    seen: list[UploadProgress] = []
    second = client.upload_files(folder, on_progress=seen.append)
    assert [each.uid for each in first.documents] == [each.uid for each in second.documents]
    of_stored_files = [each for each in seen if each.path.name != "empty.txt"]
    assert [each.was_stored for each in of_stored_files] == [True, True], "they were not sent"
    assert Document.objects.count() == 2


def test_other_labels_are_another_document(client: Any, folder: Path) -> None:
    path = folder / "pelican.txt"
    uids = {
        client.upload(path).uid,
        client.upload(path).uid,
        client.upload(path, project_id="p2").uid,
        client.upload(path, tags=["t"]).uid,
        client.upload(path, mode="Sales").uid,
    }
    assert len(uids) == 4


def test_the_same_bytes_in_two_places_are_two_documents(client: Any, folder: Path) -> None:
    (folder / "inner" / "pelican.txt").write_bytes((folder / "pelican.txt").read_bytes())
    report = client.upload_files(folder)
    assert len(report.documents) == 3


def test_an_id_of_the_caller(client: Any, folder: Path) -> None:
    assert client.upload(folder / "pelican.txt", id="doc1").id == "doc1"
    with pytest.raises(Conflict) as caught:
        client.upload(folder / "pelican.txt", id="doc1")
    assert caught.value.code == "id_taken"
    with pytest.raises(BadRequest):
        client.upload(folder / "pelican.txt", id="a b")


def test_what_is_not_there(client: Any, folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload(folder / "missing.txt")
    with pytest.raises(FileNotFoundError, match="missing"):
        client.upload_files(folder, folder / "missing")
    (folder / "none").mkdir()
    with pytest.raises(ValueError, match="no files"):
        client.upload_files(folder / "none")
    with pytest.raises(IsADirectoryError, match="upload_files"):
        client.upload(folder)
    os.mkfifo(folder.parent / "pipe")
    for path in (folder.parent / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="neither"):
            client.upload(path)
        with pytest.raises(ValueError, match="neither"):
            client.upload_files(path)
    os.mkfifo(folder / "none" / "pipe")
    with pytest.raises(ValueError, match="no files"):
        client.upload_files(folder / "none")
    with pytest.raises(ValueError, match="parallel"):
        client.upload_files(folder, parallel=0)
    assert Document.objects.count() == 0


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("ä ö.txt", "ä ö.txt"),
        ("日本.txt", "日本.txt"),
        ("%22.txt", "%22.txt"),
        ("a;b=c.txt", "a;b=c.txt"),
        # As browsers send them: https://html.spec.whatwg.org/#multipart-form-data
        ('a"b.txt', "a%22b.txt"),
        ("line\nend.txt", "line%0Aend.txt"),
    ],
)
def test_odd_names(client: Any, tmp_path: Path, name: str, stored: str) -> None:
    path = tmp_path / name
    path.write_text("text")
    assert client.upload(path).filename == stored


def test_a_name_that_is_not_utf_8(client: Any, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text("text")
    assert client.upload_files(tmp_path).documents[0].filename == "caf\ufffd.txt"


def test_a_file_that_is_gone_when_its_turn_comes(client: Any, folder: Path) -> None:
    def on_progress(progress: UploadProgress) -> None:
        (folder / "inner" / "contract.md").unlink(missing_ok=True)

    report = client.upload_files(folder, parallel=1, on_progress=on_progress)
    assert [(each.path.name, each.code) for each in report.failures] == [
        ("empty.txt", "empty"),
        ("contract.md", "unreadable"),
    ]


@pytest.mark.parametrize(
    "cut", [Cut(request_bytes=0), Cut(request_bytes=1_000_000), Cut(answer=True)], ids=["at once", "halfway", "answer"]
)
def test_a_cut_upload_is_stored_once(
    make_client: MakeClient, site: int, token: str, large: Path, pauses: list[float], cut: Cut
) -> None:
    with CuttingProxy(site, [cut]) as proxy:
        document = make_client(proxy.url, token).upload(large)
        assert make_client(proxy.url, token).upload(large, id="mine").duplicate_of == document.id
        assert proxy.connections >= 3
    assert (document.file_size, len(pauses)) == (LARGE, 1)
    assert Document.objects.count() == 2


def test_a_cut_upload_with_an_id_is_found_again(
    make_client: MakeClient, site: int, token: str, large: Path, pauses: list[float]
) -> None:
    with CuttingProxy(site, [Cut(answer=True)]) as proxy:
        assert make_client(proxy.url, token).upload(large, id="mine").id == "mine"
    assert Document.objects.count() == 1


def test_a_folder_through_a_bad_connection(
    make_client: MakeClient, site: int, token: str, tmp_path: Path, pauses: list[float]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(f"Document {number}. " * 5000)
    cuts = [Cut(request_bytes=50_000), Cut(answer=True), Cut(request_bytes=0)] * 3
    with CuttingProxy(site, cuts) as proxy:
        report = make_client(proxy.url, token).upload_files(folder, parallel=4)
    assert [each.filename for each in report.documents] == [f"{number:02}.txt" for number in range(12)]
    assert report.failures == []
    assert Document.objects.count() == 12


@pytest.mark.parametrize("change", [b"", b"shorter", b"x" * (LARGE + 1), b"y" * LARGE], ids=len)
def test_a_file_that_changes_meanwhile(client: Any, large: Path, change: bytes) -> None:
    def on_progress(progress: UploadProgress) -> None:
        if 0 < progress.sent < 200_000:
            large.write_bytes(change)

    with pytest.raises(FileChanged):
        client.upload(large, on_progress=on_progress)
    assert Document.objects.count() == 0


def test_files_that_are_too_large(client: Any, large: Path, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"max_upload_mb": 1})
    (failure,) = client.upload_files(large).failures
    assert failure.code == "too_large"


def test_a_body_that_is_refused_before_it_is_read(
    client: Any, tmp_path: Path, settings: Any, pauses: list[float]
) -> None:
    """The server answers while the file is still being sent."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"max_upload_mb": 1, "max_upload_total_mb": 1})
    path = tmp_path / "huge.txt"
    path.write_bytes(b"x" * 20_000_000)
    with pytest.raises(TooLarge):
        client.upload(path)
    assert pauses == []


def test_a_refused_token_ends_it_all(make_client: MakeClient, site: int, folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.txt").write_text(str(number))
    seen: list[UploadProgress] = []
    with pytest.raises(NotAuthenticated):
        make_client(f"http://127.0.0.1:{site}", "wrong").upload_files(folder, parallel=2, on_progress=seen.append)
    assert len({each.path for each in seen}) < 10


def test_reports_come_one_at_a_time(site: int, token: str, tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_bytes(bytes([65 + number]) * 300_000)
    inside = threading.Lock()

    def on_progress(progress: UploadProgress) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    with Client(f"http://127.0.0.1:{site}", token) as client:
        assert len(client.upload_files(tmp_path, parallel=8, on_progress=on_progress).documents) == 8


def test_what_a_callback_raises_stops_the_rest(client: Any, tmp_path: Path) -> None:
    """Ctrl-C does the same: nothing goes on in the background."""
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(str(number))

    def on_progress(progress: UploadProgress) -> None:
        if progress.document:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client.upload_files(tmp_path, parallel=2, on_progress=on_progress)
    assert 1 <= Document.objects.count() <= 4


def test_a_cancelled_task_stops(site: int, token: str, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(str(number))

    async def main() -> None:
        async with AsyncClient(f"http://127.0.0.1:{site}", token) as client:
            started = asyncio.Event()
            task = asyncio.create_task(
                client.upload_files(tmp_path, parallel=2, on_progress=lambda progress: started.set())
            )
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert Document.objects.count() < 40


def test_a_callback_may_be_a_coroutine(site: int, token: str) -> None:
    seen: list[str] = []

    async def on_change(job: Any) -> None:
        await asyncio.sleep(0)
        seen.append(job.status)

    async def main() -> None:
        async with AsyncClient(f"http://127.0.0.1:{site}", token) as client:
            started = await client.start_workflow("W", [{"name": "One"}])
            await client.cancel(started)
            await client.wait(started, on_change=on_change, check=False)

    asyncio.run(main())
    assert seen == ["cancelled"]


def test_many_requests_share_a_client(site: int, token: str) -> None:
    def statuses(client: Client) -> Iterator[str]:
        yield from (client.start_workflow("W", [{"name": "One"}]).status for _ in range(5))

    with Client(f"http://127.0.0.1:{site}", token) as client:
        threads = [threading.Thread(target=lambda: list(statuses(client))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(client.jobs())) == 20
