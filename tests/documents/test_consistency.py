"""`check_engine` for documents: every contradiction that is planted is named."""

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.support.documents import index, upload
from workflows import engine
from workflows.engine.consistency import check
from workflows.steps import NewExecution, NewStep

OF_JOBS = "a document that is queued or processing has an unfinished job"
GENERATIONS = "a document's generations follow one another, and an indexed document has one"
CHUNKS = "a document counts the pages and chunks of its generation"


def found() -> set[str]:
    return {finding.rule for finding in check()}


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        (GENERATIONS, "UPDATE documents SET generation = latest_generation + 1"),
        (GENERATIONS, "UPDATE documents SET embedded_generation = generation + 1"),
        (GENERATIONS, "UPDATE documents SET status = 'failed'"),
        (CHUNKS, "DELETE FROM document_chunks"),
        (CHUNKS, "DELETE FROM document_pages"),
        (CHUNKS, "UPDATE document_chunks SET generation = generation + 1"),
    ],
)
def test_a_contradiction_of_an_indexed_document_is_named(alice: User, rule: str, sql: str) -> None:
    index(alice, upload(alice))
    assert not {OF_JOBS, GENERATIONS, CHUNKS} & found()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql)
    assert rule in found()


def test_a_document_that_waits_for_a_finished_job_is_named(alice: User) -> None:
    document = upload(alice)
    step = NewStep("read", tool="DOCUMENT_INGEST", arguments={"documentId": str(document.pk)})
    execution = engine.start(NewExecution(alice.pk, "bulk-documents", "test", [step]), actor="alice")
    type(document).objects.attach(execution)
    assert found() == set()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflow_executions SET status = 'failed', finished_at = now()")
    assert {OF_JOBS, "a finished job has no open step"} <= found()
