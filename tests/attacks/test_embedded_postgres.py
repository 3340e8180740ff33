"""Who can connect to the embedded PostgreSQL, and as whom."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aiworkstation.ops import postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    data_dir = tmp_path_factory.mktemp("data")
    with postgres.join(data_dir):
        yield data_dir


def test_the_role_connects_with_its_password(server: Path) -> None:
    with psycopg.connect(postgres.dsn(server)) as connection:
        row = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, False)


@pytest.mark.parametrize("password", ["", "guessed", "aiworkstation"])
def test_nobody_connects_without_it(server: Path, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.dsn(server), password=password)


@pytest.mark.parametrize("user", ["postgres", "root", "nobody", postgres.AUDIT_OWNER])
@pytest.mark.parametrize("database", ["postgres", "template1", postgres.DATABASE])
def test_nobody_connects_as_another_role(server: Path, user: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(postgres.dsn(server), user=user, dbname=database)


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE postgres",
        f"SET ROLE {postgres.AUDIT_OWNER}",
        f"SET ROLE {postgres.MIGRATOR}",
        f"GRANT {postgres.AUDIT_OWNER} TO {postgres.ROLE}",
        f"ALTER DATABASE {postgres.DATABASE} OWNER TO {postgres.ROLE}",
        "ALTER ROLE aiworkstation SUPERUSER",
        "CREATE ROLE another SUPERUSER LOGIN",
        "GRANT postgres TO aiworkstation",
        "ALTER ROLE postgres PASSWORD 'x'",
        "ALTER SYSTEM SET fsync = off",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "CREATE EXTENSION file_fdw",
    ],
)
def test_the_role_cannot_become_a_superuser(server: Path, statement: str) -> None:
    with psycopg.connect(postgres.dsn(server), autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    assert isinstance(caught.value, psycopg.errors.InsufficientPrivilege | psycopg.errors.FeatureNotSupported)


def test_the_role_drops_no_database(server: Path) -> None:
    refusal = pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner")
    with psycopg.connect(postgres.dsn(server), dbname="postgres", autocommit=True) as connection, refusal:
        connection.execute(f"DROP DATABASE {postgres.DATABASE}".encode())


def test_the_role_that_migrates_is_no_superuser(server: Path) -> None:
    with psycopg.connect(postgres.dsn(server, postgres.MIGRATOR)) as connection:
        row = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, False)
    assert postgres.password(server) != postgres.password(server, postgres.MIGRATOR)


def test_no_line_trusts_anybody(server: Path) -> None:
    lines = (postgres.home(server) / "data" / "pg_hba.conf").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert {line.split()[-1] for line in rules} == {"scram-sha-256"}


def test_an_older_cluster_is_closed_at_its_next_start(tmp_path: Path) -> None:
    with postgres.join(tmp_path):
        pass
    hba = postgres.home(tmp_path) / "data" / "pg_hba.conf"
    hba.write_text("local all all trust\n")
    # An older one, or one whose first start was interrupted, may have the roles and no password of theirs.
    postgres.password_file(postgres.home(tmp_path), postgres.MIGRATOR).unlink()
    with postgres.join(tmp_path), pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn(tmp_path), user="postgres")
    with postgres.join(tmp_path), psycopg.connect(postgres.dsn(tmp_path, postgres.MIGRATOR)) as connection:
        connection.execute(f"SET ROLE {postgres.AUDIT_OWNER}".encode())
