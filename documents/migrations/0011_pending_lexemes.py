"""A short list of pending entries before the index of lexemes: entries that come together go in together.

Every search reads through the list, so it is kept to the least that PostgreSQL allows. Most of the log and a third of
the server's time went into the long lists of common words, entry by entry.
"""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations

NAME = "terms_by_lexeme"


class Migration(migrations.Migration):
    dependencies = [("documents", "0010_fill_search_terms")]

    operations = [
        # A setting of the index, which Django would build anew for it.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"ALTER INDEX {NAME} SET (fastupdate = on, gin_pending_list_limit = 64)",
                    [
                        f"ALTER INDEX {NAME} RESET (gin_pending_list_limit)",
                        f"ALTER INDEX {NAME} SET (fastupdate = off)",
                        f"SELECT gin_clean_pending_list('{NAME}')",
                    ],
                )
            ],
            state_operations=[
                migrations.RemoveIndex(model_name="chunkterms", name=NAME),
                migrations.AddIndex(
                    model_name="chunkterms",
                    index=GinIndex(fastupdate=True, gin_pending_list_limit=64, fields=["lexemes"], name=NAME),
                ),
            ],
        )
    ]
