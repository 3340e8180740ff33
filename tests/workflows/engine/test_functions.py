"""The functions in the database agree with the files in sql/."""

import re
from pathlib import Path

import pytest
from django.db import connection

from workflows.database_connections import connect_blocking
from workflows.engine import sql

FOLDER = Path(sql.__file__).parent
_FUNCTION = re.compile(r"FUNCTION (\w+)\((.*?)\)\s*(?:RETURNS|LANGUAGE).*?AS \$\$(.*?)\$\$;", re.DOTALL)
_IN_THE_DATABASE = """
SELECT proname, pg_get_function_arguments(oid), prosrc FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'workflow\\_%%'
"""


def short_types(arguments: str) -> str:
    """Arguments as the files write them: PostgreSQL names types in full, and puts OUT before a name."""
    names = {"float8": "double precision", "bool": "boolean", "int": "integer"}
    return re.sub(r"\b(float8|bool|int)\b", lambda found: names[found[1]], " ".join(arguments.split()))


def in_files() -> dict[str, tuple[str, str]]:
    found = [_FUNCTION.findall(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.sql")]
    return {name: (short_types(arguments), body) for functions in found for name, arguments, body in functions}


@pytest.mark.django_db
def test_the_database_has_the_functions_of_the_files() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_IN_THE_DATABASE)
        in_database = {name: (arguments, body) for name, arguments, body in cursor.fetchall()}
    assert in_database == in_files(), "freeze the files in a new migration: see workflows/engine/sql/README.md"


def test_each_file_has_one_function_of_its_name() -> None:
    for path in FOLDER.glob("*.sql"):
        assert [name for name, *_ in _FUNCTION.findall(path.read_text(encoding="utf-8"))] == [f"workflow_{path.stem}"]


@pytest.mark.django_db(transaction=True)
def test_nothing_is_compiled() -> None:
    """Many servers compile expensive plans (jit = on), which makes short statements much slower."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)
        cursor.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'workflow%%' AND 'jit=off' = ANY(proconfig)")
        # Also through a pooler that drops the options of a connection.
        called = {"workflow_start", "workflow_turn", "workflow_record", "workflow_settle"}
        assert {name for (name,) in cursor.fetchall()} == called
    with connect_blocking("test") as own:
        assert own.execute("SHOW jit").fetchone() == ("off",)
