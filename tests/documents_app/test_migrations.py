"""What an older release has indexed is found by this one."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from documents.models import ChunkTerms, Document
from documents.search import Question, search
from tests.people import make_user

BEFORE_BM25 = [("documents", "0002_generations_and_search")]


def migrate(targets: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(targets)


@pytest.fixture
def older_release(transactional_db: None) -> Iterator[None]:
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("documents")
    migrate(BEFORE_BM25)
    yield
    migrate(newest)


def insert(owner: User, text: str) -> None:
    """A document as that release had it after a second reading, the first one's chunk not yet cleared."""
    uid = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO documents (uid, owner_id, client_id, filename, file_type, file_size, sha256, status, warnings,"
            " metadata, page_count, word_count, chunk_count, chunk_size, overlap, generation, latest_generation,"
            " project_id, tags, mode) VALUES (%s, %s, 'old', 'old.txt', 'txt', 3, 'ab', 'indexed', '[]', '{}', 1, 5, 1,"
            " 500, 100, 2, 2, '', '{}', 'General')",
            [uid, owner.pk],
        )
        for generation, content in ((1, "Submarines."), (2, text)):
            cursor.execute(
                'INSERT INTO document_chunks (document_id, generation, index, page, start, "end", tokens, text)'
                " VALUES (%s, %s, 0, 1, 0, 9, 3, %s)",
                [uid, generation, content],
            )


def test_it_is_found(older_release: None) -> None:
    alice = make_user("alice")
    insert(alice, "Die Laternen des Hafens wurden nicht teurer, und das war gut so.")
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes("documents"))
    assert Document.objects.get().language == "german"
    assert [result.document_id for result in search(alice, Question("Laterne"))] == ["old"]
    assert ChunkTerms.objects.count() == 1
    assert search(alice, Question("submarines")) == []
