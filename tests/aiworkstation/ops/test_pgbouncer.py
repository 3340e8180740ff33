"""The application behind a real pgbouncer, which passes no startup parameters on."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django import db
from django.contrib.auth.models import User
from django.db.utils import ConnectionHandler
from pytest_django.fixtures import Settings

from aiworkstation import BASE_DIR
from aiworkstation.settings import database
from tests.support.pgbouncer import pgbouncer
from tests.support.processes import environment, manage, wait_for
from workflows import engine
from workflows.database_connections import connect, connect_blocking
from workflows.models import WorkflowExecution
from workflows.steps import NewExecution, NewStep

pytestmark = pytest.mark.django_db(transaction=True)

SHOWN = "SELECT current_setting('jit'), current_setting('lock_timeout'), current_setting('plan_cache_mode')"


@pytest.fixture(params=["session", "transaction"])
def address(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Iterator[str]:
    direct = "" if request.param == "session" else "postgresql:///unused"
    settings.CONFIG = settings.CONFIG.model_copy(update={"listen_database_url": direct})
    with pgbouncer(tmp_path, pool_mode=request.param) as address:
        yield address


def is_shared(settings: Settings) -> bool:
    return bool(settings.CONFIG.listen_database_url)


@pytest.fixture(params=["on", "off"])
def default_of_jit(request: pytest.FixtureRequest) -> Iterator[None]:
    """`prepare` turns it off for the whole database. This must not look as if the session had all its settings."""
    name = db.connection.ops.quote_name(db.connection.settings_dict["NAME"])
    with db.connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET jit = {request.param}")
        yield
        cursor.execute(f"ALTER DATABASE {name} RESET jit")


@pytest.mark.usefixtures("default_of_jit")
def test_every_session_has_its_settings(address: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = ConnectionHandler({"default": database(address)})
    django = handler["default"]
    try:
        with django.cursor() as cursor:
            cursor.execute(SHOWN)
            # A session that others share gets only what suits all of them.
            expected = ("off", "0", "auto") if is_shared(settings) else ("off", "10s", "auto")
            assert cursor.fetchone() == expected
        assert django.get_autocommit()
        monkeypatch.setattr(db, "connection", django)
        plans = "auto" if is_shared(settings) else "force_generic_plan"
        expected = (*expected[:2], plans)
        with connect_blocking("test") as own:
            assert own.execute(SHOWN).fetchone() == expected

        async def ask() -> object:
            async with await connect("engine", "test") as opened:
                return await (await opened.execute(SHOWN)).fetchone()

        assert asyncio.run(ask()) == expected
    finally:
        django.close()


def test_jobs_run_and_requests_are_answered(address: str, tmp_path: Path, alice: User, settings: Settings) -> None:
    direct = {"LISTEN_DATABASE_URL": environment()["DATABASE_URL"]} if is_shared(settings) else {}
    variables = {"DATABASE_URL": address, "WORKERS": "1", **direct}
    steps = [NewStep("s", tool="PROBE_SLEEP", arguments={})]
    job = engine.start(NewExecution(alice.pk, "workflow", "test", steps), actor="alice")
    with manage("work", log=tmp_path / "log", PROBE_LEDGER=str(tmp_path / "ledger"), **variables):
        wait_for(lambda: WorkflowExecution.objects.get(pk=job).is_finished, what="the job")
    assert WorkflowExecution.objects.get(pk=job).status == "completed"
    checked = subprocess.run(
        [sys.executable, "manage.py", "check_engine"],
        cwd=BASE_DIR,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, "0 broken" in checked.stdout) == (0, True), checked.stderr
