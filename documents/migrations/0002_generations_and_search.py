"""Readings that overlap get numbers of their own, and search its own text search configuration.

`documents_text` is `english` without its stop words: stems for English, other languages as they are, and a question
that consists of nothing but common words still finds something.
"""

from django.db import migrations, models

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


class Migration(migrations.Migration):
    dependencies = [("documents", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="document",
            name="latest_generation",
            field=models.PositiveIntegerField(default=0, help_text="Given to the last reading that began."),
        ),
        migrations.AlterField(
            model_name="document",
            name="generation",
            field=models.PositiveIntegerField(default=0, help_text="Of the pages and chunks that everybody sees."),
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
