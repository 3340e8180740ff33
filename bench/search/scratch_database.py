"""A database for the measurements of search, and functions that index documents without files and jobs.

`DATABASE_URL` names the server. Its role needs the right to create databases.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

MAINTENANCE = "postgres"


@contextmanager
def scratch_database(name: str, settings: Mapping[str, str] | None = None, *, keep: bool = False) -> Iterator[None]:
    """Sets up Django on a new database. With `keep`, an existing one is used, and it is not dropped."""
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(_url_of(server, MAINTENANCE), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if known and not keep:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        if not known or not keep:
            connection.execute(f'CREATE DATABASE "{name}"')
    os.environ.update(
        ENV_FILE="",
        DATABASE_URL=_url_of(server, name),
        SECRET_KEY="of-the-measurements-alone-" + 40 * "x",
        DJANGO_SETTINGS_MODULE="aiworkstation.settings",
        **{key.upper(): value for key, value in (settings or {}).items()},
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    try:
        yield
    finally:
        from django.db import connections

        connections.close_all()
        if not keep:
            with psycopg.connect(_url_of(server, MAINTENANCE), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def owner(name: str) -> Any:
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username=name)[0]


def add_documents(user: Any, documents: Sequence[tuple[str, list[str]]], **fields: Any) -> list[Any]:
    """Indexes documents in one transaction, the way a worker does. Each is a name and the texts of its chunks."""
    from django.db import transaction

    from documents.models import Document, DocumentChunk
    from documents.search import write_names, write_terms
    from documents.text.languages import latin_language
    from documents.text.words import words

    with transaction.atomic():
        rows = [
            Document(
                owner=user,
                client_id=name,
                filename=f"{name}.txt",
                file_type="txt",
                file_size=1,
                sha256="0" * 64,
                status="indexed",
                generation=1,
                latest_generation=1,
                page_count=1,
                chunk_count=len(texts),
                language=latin_language(words(texts[0])),
                **fields,
            )
            for name, texts in documents
        ]
        Document.objects.bulk_create(rows)
        for row, (_, texts) in zip(rows, documents, strict=True):
            chunks = DocumentChunk.objects.bulk_create(
                DocumentChunk(
                    document=row, generation=1, index=index, page=1, start=0, end=len(text), tokens=1, text=text
                )
                for index, text in enumerate(texts)
            )
            lexed = [(chunk.pk, chunk.text) for chunk in chunks]
            write_terms(row.pk, user.pk, 1, row.language, lexed)
        write_names(Document.objects.filter(pk__in=[row.pk for row in rows]))
    return rows


def replace_document(row: Any, texts: list[str]) -> None:
    """Replaces the text the way a second reading does: adds the new chunks, then switches. Its vectors stay."""
    from django.db import connection, transaction

    from documents.models import ChunkTerms, ChunkVector, Document, DocumentChunk
    from documents.search import write_terms

    generation = row.generation + 1
    with transaction.atomic():
        chunks = DocumentChunk.objects.bulk_create(
            DocumentChunk(
                document=row, generation=generation, index=index, page=1, start=0, end=len(text), tokens=1, text=text
            )
            for index, text in enumerate(texts)
        )
        lexed = [(chunk.pk, chunk.text) for chunk in chunks]
        write_terms(row.pk, row.owner_id, generation, row.language, lexed)
    with transaction.atomic():
        Document.objects.select_for_update().get(pk=row.pk)
        with connection.cursor() as cursor:
            cursor.execute(_KEEP_VECTORS, {"document": row.pk, "generation": generation})
        for model in (DocumentChunk, ChunkTerms, ChunkVector):
            model._default_manager.filter(document=row, generation__lt=generation).delete()
        Document.objects.filter(pk=row.pk).update(generation=generation, chunk_count=len(texts))
    row.generation = generation


_KEEP_VECTORS = """
INSERT INTO document_vectors (model_id, chunk_id, document_id, generation, owner_id, embedding)
SELECT v.model_id, new.id, v.document_id, new.generation, v.owner_id, v.embedding
FROM document_chunks new JOIN document_chunks old USING (document_id, index)
JOIN document_vectors v ON v.chunk_id = old.id AND v.document_id = old.document_id
WHERE new.document_id = %(document)s AND new.generation = %(generation)s AND old.generation = v.generation
"""


def _url_of(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
