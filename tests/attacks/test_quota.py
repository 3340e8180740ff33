"""What a user stores is limited: files, the texts of their pages and chunks, payloads and outputs of jobs."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from aiworkstation.access import quota
from aiworkstation.ids import uuid7
from documents.models import Document, DocumentChunk, DocumentPage
from documents.reading.ingest import NoRoom
from documents.storage.stored_files import OverQuota
from tests.jobs.api.callbacks.conftest import hand_over, outside, send, update_of
from tests.probe import tools as probe_tools
from tests.servers.outside_worker import SECRET
from tests.support.documents import begin, index, read, upload
from tests.support.jobs import BODY, claim, complete, complete_all, start_job
from tests.support.runner import work
from workflows import engine
from workflows.models import LargeJson, WorkflowExecution
from workflows.steps import NewExecution, NewStep

assert probe_tools

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "".join(f"word{number} " for number in range(30_000))[:200_000]


@pytest.fixture(autouse=True)
def one_megabyte(settings: Settings) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"user_quota_mb": 1, "callback_secret": SECRET})
    quota._remembered.clear()


def together(*functions: Callable[[], object]) -> list[str]:
    """Calls them at once. Returns the codes of their errors, or "" for each that had none."""
    barrier = Barrier(len(functions))

    def call(function: Callable[[], object]) -> str:
        try:
            connection.ensure_connection()
            barrier.wait()
            function()
        except (NoRoom, OverQuota, quota.OverQuota) as error:
            return error.code
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(len(functions)) as pool:
        return sorted(pool.map(call, functions))


def job(user: User, *sizes: int, **step: Any) -> WorkflowExecution:
    steps = [NewStep(f"s{n}", tool="PROBE_LARGE", arguments={"size": size}, **step) for n, size in enumerate(sizes)]
    new = NewExecution(user.pk, "workflow", "test", steps)
    return WorkflowExecution.objects.get(pk=engine.start(new, actor=user.username))


def test_it_works(alice: User, bob: User) -> None:
    document = index(alice, upload(alice, WORDS))
    assert document.text_size == pytest.approx(2 * len(WORDS), rel=0.3)
    jobs = [job(alice, 100_000), job(bob, 900_000)]
    work(*jobs)
    assert [each.status for each in jobs] == ["completed"] * 2
    assert quota.used(alice.pk) == pytest.approx(document.file_size + document.text_size + 100_000, abs=10)
    assert quota.used(bob.pk) == pytest.approx(900_000, abs=10)


def meanwhile(first: Callable[[], object], second: Callable[[], object]) -> str:
    """Calls `second` while the transaction of `first` is still open. Returns the code of its error, or ""."""
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        first()
        running = pool.submit(together, second)
        while not (running.done() or waits_for_a_lock()):
            time.sleep(0.01)
    return str(running.result()[0])


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("what", ["output", "text", "file"])
def test_who_comes_second_waits_and_finds_no_room(alice: User, what: str) -> None:
    one, two = (uuid7() for _ in range(2))
    reading = begin(alice, upload(alice, WORDS))
    second: dict[str, Callable[[], object]] = {
        "output": lambda: LargeJson.take_room(alice.pk, one, one, 500_000),
        "text": lambda: read(reading),
        "file": lambda: upload(alice, b"y" * 500_000),
    }
    assert meanwhile(lambda: LargeJson.take_room(alice.pk, two, two, 700_000), second[what]) == "over_quota"


class TestTexts:
    @pytest.mark.parametrize("overlap", [450, 490])
    def test_chunks_that_overlap_take_room(self, alice: User, overlap: int) -> None:
        document = upload(alice, WORDS)
        with pytest.raises(NoRoom, match=r"of 1 MB.*delete documents or finished jobs") as caught:
            index(alice, document, 500, overlap)
        assert caught.value.code == "over_quota"
        assert not caught.value.retryable
        assert not DocumentChunk.objects.exists()
        assert not DocumentPage.objects.exists()

    def test_an_earlier_index_is_kept(self, alice: User) -> None:
        document = index(alice, upload(alice, WORDS))
        kept = quota.used(alice.pk)
        with pytest.raises(NoRoom):
            index(alice, document, 500, 480)
        document.refresh_from_db()
        assert (document.status, document.generation) == ("indexed", 1)
        assert DocumentChunk.objects.filter(document=document, generation=1).count() == document.chunk_count
        assert quota.used(alice.pk) == kept

    def test_reading_again_takes_no_more(self, alice: User) -> None:
        document = index(alice, upload(alice, WORDS[:150_000]))
        kept = quota.used(alice.pk)
        for _ in range(4):
            index(alice, document)
        assert quota.used(alice.pk) == kept

    def test_two_readings_at_once_do_not_both_take_the_last_room(self, alice: User) -> None:
        readings = [begin(alice, upload(alice, WORDS[number:150_000])) for number in range(2)]
        upload(alice, b"x" * 300_000)
        assert together(*(lambda reading=reading: read(reading) for reading in readings)) == ["", "over_quota"]
        assert Document.objects.filter(status="indexed").count() == 1
        assert quota.used(alice.pk) <= 1 << 20

    def test_a_file_finds_no_room_beside_texts(self, alice: User, as_alice: Client) -> None:
        index(alice, upload(alice, WORDS), 500, 300)
        with upload_of(400_000) as file:
            response = as_alice.post("/api/documents", {"file": file})
        assert response.status_code == 413
        assert response.json()["errors"][0]["code"] == "over_quota"

    def test_deleting_gives_room(self, alice: User, as_alice: Client) -> None:
        document = index(alice, upload(alice, WORDS))
        assert as_alice.delete(f"/api/documents/{document.uid}").status_code == 204
        assert quota.used(alice.pk) == 0


class TestOutputs:
    def test_two_jobs_at_once_do_not_both_take_the_last_room(self, alice: User, bob: User) -> None:
        jobs = [job(alice, 600_000), job(alice, 600_000), job(bob, 600_000)]
        work(*jobs)
        assert sorted(each.status for each in jobs[:2]) == ["completed", "failed"]
        assert jobs[2].status == "completed"
        (failed,) = (each for each in jobs if each.status == "failed")
        step = failed.steps.get()
        assert (step.attempt, step.output) == (1, None)
        error = step.error or {}
        assert error["code"] == "over_quota"
        assert "of 1 MB" in error["message"]
        assert "delete documents or finished jobs" in error["message"]

    def test_many_steps_of_one_job(self, alice: User) -> None:
        many = job(alice, *[300_000] * 8, depends_on=[])
        work(many)
        assert many.steps.filter(status="completed").count() == 3
        assert LargeJson.objects.count() == 3

    def test_a_retry_replaces_what_the_step_took(self, alice: User) -> None:
        again = job(alice, 700_000, 700_000)
        work(again)
        assert again.status == "failed"
        LargeJson.objects.filter(execution=again).delete()
        engine.retry(again.pk, actor="alice")
        work(again)
        assert again.status == "completed"
        assert LargeJson.objects.get().size == pytest.approx(700_000, abs=10)

    def test_an_outside_worker(self, alice: User) -> None:
        new = NewExecution(alice.pk, "workflow", "test", [outside(), outside("second", depends_on=[])])
        execution = engine.start(new, actor="alice")
        for expected in ("completed", "failed"):
            (claimed,) = claim(execution)
            hand_over(claimed)
            assert send(update_of(claimed, "completed", output="x" * 600_000)).status_code == 200
            job = WorkflowExecution.objects.get(pk=execution)
            assert job.steps.get(pk=claimed.step_id).status == expected
        assert (job.steps.get(status="failed").error or {})["code"] == "over_quota"

    def test_small_ones_are_not_counted_one_by_one(self, alice: User) -> None:
        work(job(alice, 100, 3_000))
        assert not LargeJson.objects.exists()


class TestJobs:
    def test_without_room_none_starts(self, alice: User, as_alice: Client, as_bob: Client) -> None:
        full = job(alice, 1_000_000, 48_500)
        work(full)
        LargeJson.objects.filter(execution=full).update(size=1 << 19)
        refused = as_alice.post("/api/jobs", BODY, "application/json")
        assert refused.status_code == 400
        (error,) = refused.json()["errors"]
        assert (error["code"], error["attr"]) == ("over_quota", "payload")
        assert "of 1 MB" in error["detail"]
        assert as_bob.post("/api/jobs", BODY, "application/json").status_code == 202
        assert as_alice.delete(f"/api/jobs/{full.pk}").status_code == 204
        assert not LargeJson.objects.exists()
        assert as_alice.post("/api/jobs", BODY, "application/json").status_code == 202

    def test_large_payloads_count(self, alice: User, as_alice: Client) -> None:
        body = json.loads(json.dumps(BODY))
        body["payload"]["steps"] = [{"name": f"s{n}", "description": "x" * 4_000} for n in range(90)]
        answers = [as_alice.post("/api/jobs", body, "application/json").status_code for _ in range(4)]
        assert answers == [202, 202, 400, 400]
        assert WorkflowExecution.objects.count() == 2

    def test_reruns_count_the_outputs_that_they_take_over(self, alice: User, as_alice: Client) -> None:
        first = start_job(alice)
        (claimed,) = claim(first.pk)
        LargeJson.take_room(alice.pk, first.pk, claimed.step_id, 600_000)
        complete(claimed, "x" * 600_000)
        complete_all(first)
        refused = as_alice.post(f"/api/jobs/{first.pk}/rerun", {"fromStep": 1}, "application/json")
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["code"] == "over_quota"
        assert WorkflowExecution.objects.count() == 1
        assert as_alice.post(f"/api/jobs/{first.pk}/rerun", {}, "application/json").status_code == 202


def upload_of(size: int) -> Any:
    file = BytesIO(b"y" * size)
    file.name = "y.txt"
    return file
