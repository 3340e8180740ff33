"""Migrations can be reversed and applied again."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from aiworkstation.audit import protection
from workflows.models import Mode

APPS = ("alerts", "webhooks", "mail", "jobs", "documents", "workflows", "access", "audit")


def migrate(targets: list[tuple[str, str | None]]) -> None:
    with protection.logged_in_to_migrate():
        MigrationExecutor(connection).migrate(targets)
        assert not protection.protect()


@pytest.mark.django_db(transaction=True)
def test_they_are_reversible() -> None:
    newest = [node for app in APPS for node in MigrationExecutor(connection).loader.graph.leaf_nodes(app)]
    try:
        migrate([(app, None) for app in APPS])
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'workflow%%'")
            assert cursor.fetchone() == (0,)
    finally:
        migrate(newest)
    assert set(Mode.objects.values_list("name", flat=True)) == {"General", "Sales", "Admin"}
