from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="ApiUse",
            fields=[
                (
                    "caller",
                    models.CharField(
                        help_text="`token:<id>` or `user:<id>`.", max_length=80, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.BigIntegerField()),
                ("requests", models.PositiveIntegerField()),
            ],
            options={"db_table": "api_uses"},
        ),
    ]
