"""Nothing any more: 0010 fills the table, when it has all its columns."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("documents", "0003_search_terms")]
