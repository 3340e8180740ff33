"""A PostgreSQL from the system's packages, with JIT as it is switched on there: none of our statements is compiled."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from aiworkstation import BASE_DIR
from tests.support.processes import environment
from tests.support.stock_postgresql import stock_postgresql

USE = """
from io import BytesIO
from django.contrib.auth.models import User
from django.core.management import call_command
from documents.storage import stored_files
from workflows import engine
from workflows.steps import NewExecution, NewStep
call_command("migrate", verbosity=0)
alice, _ = User.objects.get_or_create(username="alice")
sleep = [NewStep(f"s{n}", tool="PROBE_SLEEP", arguments={}, depends_on=[n - 1] if n else []) for n in range(5)]
for n in range(20):
    engine.start(NewExecution(alice.pk, "workflow", f"job {n}", sleep), actor="alice")
document = stored_files.store(alice, "a.txt", BytesIO(b"The quick brown fox."))
read = NewStep("read", tool="DOCUMENT_INGEST", arguments={"documentId": str(document.pk)})
engine.start(NewExecution(alice.pk, "bulk-documents", "read", [read]), actor="alice")
"""
LOOK = """
import json
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from documents import search
call_command("check_engine")
alice = User.objects.get(username="alice")
client = Client()
client.force_login(alice)
paths = ("/api/jobs", "/api/documents", "/api/search?q=fox")
pages = [client.get(path, headers={"host": "localhost"}).status_code for path in paths]
print(json.dumps([pages, len(search.search(alice, search.Question("fox")))]))
"""
COMPILED = """
SELECT query, jit_functions FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname = 'app' AND jit_functions > 0
"""


@pytest.mark.slow
def test_nothing_is_compiled(tmp_path: Path) -> None:
    everything = {"jit_above_cost": "0", "jit_inline_above_cost": "0", "jit_optimize_above_cost": "0"}
    watch = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
    with stock_postgresql(tmp_path / "postgres", **everything, **watch) as address:
        as_postgres = address.replace("user=app", "user=postgres")
        with psycopg.connect(as_postgres, autocommit=True) as superuser:
            assert superuser.execute("SHOW jit").fetchone() == ("on",)
            superuser.execute("CREATE EXTENSION pg_stat_statements")
            data_dir, ledger = tmp_path / "data", tmp_path / "ledger"
            data_dir.mkdir()
            ledger.touch()
            variables = environment(DATABASE_URL=address, DATA_DIR=str(data_dir), WORKERS="2", PROBE_LEDGER=str(ledger))

            def manage(*arguments: str) -> str:
                command = [sys.executable, "manage.py", *arguments]
                return subprocess.check_output(command, cwd=BASE_DIR, env=variables, text=True, timeout=120)

            manage("shell", "-v0", "-c", USE)
            manage("work", "--drain")
            *checked, found = manage("shell", "-v0", "-c", LOOK).splitlines()
            assert "0 broken" in checked[-1]
            assert json.loads(found) == [[200, 200, 200], 1]
            completed = "SELECT count(*) FROM workflow_executions WHERE status = 'completed'"
            assert superuser.execute(completed).fetchone() == (21,)
            assert superuser.execute(COMPILED).fetchall() == []
            with psycopg.connect(address) as without_settings:
                without_settings.execute("SELECT count(*) FROM workflow_steps")
            assert len(superuser.execute(COMPILED).fetchall()) == 1, "the view shows what is compiled"
