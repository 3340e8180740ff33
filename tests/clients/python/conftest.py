"""The Python client against real servers. Each test that uses `make_client` runs with both clients."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiworkstation_client import AsyncClient, Client, exchange
from django.contrib.auth.models import User

from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES, THREADS
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from tests.clients.python.flaky_server import FlakyServer, Serve
from tests.support.web_server import serving
from workflows.models import Mode

MakeClient = Callable[..., Any]


class Blocking:
    """An AsyncClient with the methods of a Client."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return self._blocking(value) if callable(value) else value

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            found = method(*arguments, **options)
            return self._runner.run(found) if inspect.iscoroutine(found) else iter(self._runner.run(_collect(found)))

        return call

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


async def _collect(rows: AsyncIterator[Any]) -> list[Any]:
    return [row async for row in rows]


@pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> Any:
            client = request.param(*arguments, **options)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def modes(transactional_db: None) -> None:
    """What an earlier test's flush took away."""
    for name in ("General", "Sales", "Admin"):
        Mode.objects.get_or_create(name=name)


@pytest.fixture
def site(modes: None, settings: Any) -> Iterator[int]:
    """The real web server. Yields its port."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with serving(FrontGate(application, ROUTES, THREADS)) as port:
        yield port


@pytest.fixture
def token(modes: None, alice: User) -> str:
    return ApiToken.issue(alice)[1]


@pytest.fixture
def client(make_client: MakeClient, site: int, token: str) -> Any:
    return make_client(f"http://127.0.0.1:{site}", token)


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIW_URL", "AIW_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents, one of them in a folder, an empty file, and hidden ones."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "pelican.txt").write_text("The pelican sleeps on the pier.\n" * 3)
    (folder / "inner" / "contract.md").write_text("# Contract\n\nThe notice period is four weeks.\n")
    (folder / "empty.txt").touch()
    (folder / ".hidden.txt").write_text("hidden")
    (folder / ".git" / "config").write_text("hidden")
    return folder


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers as the given replies say."""
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(FlakyServer(*script))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before attempts, which take no time."""
    seen: list[float] = []
    real = exchange.pause_before_next

    def pause_before_next(*arguments: Any) -> float | None:
        pause = real(*arguments)
        if pause is not None:
            seen.append(pause)
        return None if pause is None else 0.0

    monkeypatch.setattr(exchange, "pause_before_next", pause_before_next)
    return seen
