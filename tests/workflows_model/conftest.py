"""The servers that these tests call, and settings that point to them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.servers.hubspot_server import HubspotServer
from tests.servers.model_server import ModelServer

Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Settings) -> Configure:
    """`configure(openai_api_key="…")` changes settings for one test; unless told, no provider is set."""
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
