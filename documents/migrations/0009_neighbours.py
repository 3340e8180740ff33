"""A filter of neighbouring lexemes, by which most passages without a phrase are told."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("documents", "0008_sweep_schedule")]

    operations = [
        # What is there is written afresh by the next migration.
        migrations.RunSQL("TRUNCATE document_terms", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="chunkterms", name="neighbours", field=models.BinaryField(default=b""), preserve_default=False
        ),
        # In the row itself, as the impacts: it is looked at in many rows.
        migrations.RunSQL("ALTER TABLE document_terms ALTER neighbours SET STORAGE MAIN", migrations.RunSQL.noop),
    ]
