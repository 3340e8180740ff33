import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from tests.probe import tools as probe_tools
from tests.servers.hubspot_server import HubspotServer
from tests.servers.model_server import ModelServer
from workflows import engine, tools
from workflows.engine.turn import WorkerInfo
from workflows.models import WorkflowExecution
from workflows.steps import NewExecution, NewStep

assert probe_tools  # imported so that they register themselves

Start = Callable[..., WorkflowExecution]
Configure = Callable[..., None]


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def start(alice: User) -> Start:
    """Starts a job with these steps, for alice."""

    def start(*steps: NewStep, **options: object) -> WorkflowExecution:
        new = NewExecution(alice.pk, "workflow", "test", list(steps), **options)  # type: ignore[arg-type]
        return WorkflowExecution.objects.get(pk=engine.start(new, actor="alice"))

    return start


@pytest.fixture
def worker() -> WorkerInfo:
    return WorkerInfo(uuid4(), "worker test", lease=30, tools=tools.known_slugs())


@pytest.fixture
def other_worker() -> WorkerInfo:
    return WorkerInfo(uuid4(), "worker other", lease=30, tools=tools.known_slugs())


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setitem(os.environ, "PROBE_LEDGER", str(path))
    return path


@pytest.fixture
def configure(settings: Settings) -> Configure:
    """`configure(openai_api_key="…")` changes settings for one test. By default there is no provider."""
    plain = {"openai_api_key": "", "openai_base_url": "", "default_model": "", "model_aliases": {}}

    def change(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update=plain | values)

    change(hubspot_access_token="", http_allowed_private_hosts=[])
    return change


@pytest.fixture
def model_server(configure: Configure) -> Iterator[ModelServer]:
    with ModelServer() as server:
        configure(openai_base_url=server.base_url)
        yield server


@pytest.fixture
def hubspot_server() -> Iterator[HubspotServer]:
    with HubspotServer() as server:
        yield server


def chain(length: int, tool: str = "") -> list[NewStep]:
    """Steps of which each depends on the one before."""
    return [
        NewStep(f"s{i}", tool=tool, arguments={} if tool else None, depends_on=[i - 1] if i else [])
        for i in range(length)
    ]


def side_by_side(number: int, tool: str = "", **arguments: object) -> list[NewStep]:
    return [NewStep(f"s{i}", tool=tool, arguments=arguments if tool else None) for i in range(number)]


def statuses(execution: UUID) -> list[str]:
    return list(WorkflowExecution.objects.get(pk=execution).steps.order_by("index").values_list("status", flat=True))


def error_of(execution: WorkflowExecution) -> dict[str, Any]:
    """The error of its only step."""
    error = execution.steps.get().error
    assert isinstance(error, dict)
    return error
