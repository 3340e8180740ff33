import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

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
            options={
                "db_table": "api_uses",
            },
        ),
        migrations.CreateModel(
            name="SignInAttempts",
            fields=[
                (
                    "key",
                    models.CharField(
                        help_text="`user:<name>` or `address:<address>`.",
                        max_length=200,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("attempts", models.PositiveIntegerField()),
                ("until", models.DateTimeField(help_text="When the attempts are forgotten.")),
            ],
            options={
                "db_table": "sign_in_attempts",
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(default="token", max_length=100)),
                ("prefix", models.CharField(help_text="Its first characters, to tell tokens apart.", max_length=12)),
                ("digest", models.CharField(help_text="SHA-256 of the token, in hex.", max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), size=None),
                ),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="The time from which it is refused.", null=True),
                ),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "last_used_from",
                    models.CharField(blank=True, default="", help_text="The caller's address.", max_length=100),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "api_tokens",
                "ordering": ("-created_at",),
            },
        ),
    ]
