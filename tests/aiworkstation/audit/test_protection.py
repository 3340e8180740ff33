"""The roles for the audit trail, on a server to which the application is given an address."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops import postgres

DATABASE = "own"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    data_dir = tmp_path_factory.mktemp("data")
    with postgres.join(data_dir):
        with psycopg.connect(postgres.dsn(data_dir), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        yield data_dir


def address(server: Path, role: str) -> str:
    return postgres.dsn(server, role).replace(f"/{postgres.DATABASE}?", f"/{DATABASE}?")


def manage(server: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": "",
        "SECRET_KEY": "of-the-tests-alone-" + 40 * "x",
        "DATA_DIR": str(server / "application"),
        "DATABASE_URL": address(server, postgres.ROLE),
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def owners(server: Path) -> list[str]:
    with psycopg.connect(address(server, postgres.ROLE)) as connection:
        rows = connection.execute(
            "SELECT tableowner FROM pg_tables WHERE tablename IN ('audit_events', 'audit_seals')"
        ).fetchall()
    return [owner for (owner,) in rows]


@pytest.mark.slow
def test_an_administrator_protects_the_tables(server: Path) -> None:
    migrated = manage(server, "migrate", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    assert "warning: The application's role owns the table" in migrated.stderr
    assert "manage.py protect_audit --print" in migrated.stderr
    assert owners(server) == [postgres.ROLE] * 2
    refused = manage(server, "protect_audit")
    assert refused.returncode == 1
    assert "PostgreSQL says: " in refused.stderr

    printed = manage(server, "protect_audit", "--print").stdout
    with psycopg.connect(address(server, postgres.MIGRATOR)) as administrator:
        administrator.execute(printed.encode())
    assert owners(server) == [postgres.AUDIT_OWNER] * 2
    again = manage(server, "migrate", "-v0")
    assert (again.returncode, again.stderr) == (0, "")
    assert manage(server, "protect_audit").returncode == 0

    # The application's role cannot reverse the migration. The other one can, and protects the tables at their return.
    assert "must be owner" in manage(server, "migrate", "audit", "zero").stderr
    assert owners(server) == [postgres.AUDIT_OWNER] * 2
    administrator_url = {"MIGRATE_DATABASE_URL": address(server, postgres.MIGRATOR)}
    reversed = manage(server, "migrate", "audit", "zero", **administrator_url)
    assert reversed.returncode == 0, reversed.stderr
    assert owners(server) == []
    returned = manage(server, "migrate", "-v0", **administrator_url)
    assert (returned.returncode, returned.stderr) == (0, "")
    assert owners(server) == [postgres.AUDIT_OWNER] * 2
    with psycopg.connect(address(server, postgres.ROLE)) as connection:
        rest = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {owner for (owner,) in rest} == {postgres.ROLE, postgres.AUDIT_OWNER}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"MIGRATE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/own"}, "MIGRATE_DATABASE_URL: cannot log in"),
        ({"MIGRATE_DATABASE_URL": "postgresql:///own", "DATABASE_URL": ""}, "MIGRATE_DATABASE_URL: set DATABASE_URL"),
    ],
)
def test_a_wrong_address_is_named(server: Path, settings: dict[str, str], complaint: str) -> None:
    refused = manage(server, "migrate", **settings)
    assert refused.returncode == 1
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr
