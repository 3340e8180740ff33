"""What is indexed already is written into the table that search reads.

By the code of the release that runs it, no copy of its own: what stands there must be what that release's search
looks for. A test comes from before this table to the newest migration, so one that this code cannot run before fails.
"""

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from documents.indexing import write_terms
from documents.languages import LOOKED_AT, latin_language
from documents.terms import words

BATCH = 200
CHUNKS = "SELECT id, text FROM document_chunks WHERE document_id = %s AND generation = %s ORDER BY index"


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    documents = apps.get_model("documents", "Document").objects.filter(generation__gt=0)
    for document in documents.only("owner_id", "generation").iterator(chunk_size=BATCH):
        with connection.cursor() as cursor:
            cursor.execute(CHUNKS, [document.pk, document.generation])
            chunks = [(id, words(text)) for id, text in cursor.fetchall()]
        first: list[str] = []
        for _, found in chunks:
            first += found[: LOOKED_AT - len(first)]
        document.language = latin_language(first)
        document.save(update_fields=["language"])
        for start in range(0, len(chunks), BATCH):
            batch = chunks[start : start + BATCH]
            write_terms(document.pk, document.owner_id, document.generation, document.language, batch)


class Migration(migrations.Migration):
    dependencies = [("documents", "0009_neighbours")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
