"""Chunks keep their text alone; going back makes their search vectors again."""

from django.db import migrations

CREATE = """
CREATE TEXT SEARCH DICTIONARY documents_stem (TEMPLATE = snowball, LANGUAGE = english);
CREATE TEXT SEARCH CONFIGURATION documents_text (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION documents_text
    ALTER MAPPING REPLACE pg_catalog.english_stem WITH documents_stem;
"""
DROP = """
DROP TEXT SEARCH CONFIGURATION documents_text;
DROP TEXT SEARCH DICTIONARY documents_stem;
"""
FILL = "UPDATE document_chunks SET search = to_tsvector('documents_text', text)"


class Migration(migrations.Migration):
    dependencies = [("documents", "0004_fill_search_terms")]

    operations = [
        migrations.RemoveIndex(model_name="documentchunk", name="chunk_search"),
        migrations.RunSQL(migrations.RunSQL.noop, FILL),
        migrations.RemoveField(model_name="documentchunk", name="search"),
        migrations.RunSQL(DROP, CREATE),
    ]
