"""The application behind its front gate, and the official client, which talks to it over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx2
import pytest
from django.contrib.auth.models import User
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES, THREADS
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from tests.support.web_server import serving

T = TypeVar("T")


class Site:
    """Runs the official client as a user, with a new API token that has all scopes or those that are given."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/mcp"

    def headers(self, user: User, *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {ApiToken.issue(user, scopes=list(scopes) or None)[1]}"}

    def run(
        self, user: User, use: Callable[[Client], Awaitable[T]], *, scopes: tuple[str, ...] = (), **options: Any
    ) -> T:
        headers = self.headers(user, *scopes)

        async def main() -> T:
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                Client(streamable_http_client(self.url, http_client=http), **options) as client,
            ):
                return await use(client)

        return asyncio.run(main())

    def post(self, user: User | None, body: Any, **headers: str) -> httpx2.Response:
        """A message without the client. `headers` are written with underscores."""
        sent = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        sent |= self.headers(user) if user else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else None
        with httpx2.Client(timeout=30) as http:
            return http.post(
                self.url, headers=sent, **({"content": content} if content is not None else {"json": body})
            )


@pytest.fixture
def site(settings: Any) -> Iterator[Site]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with serving(FrontGate(application, ROUTES, THREADS)) as port:
        yield Site(port)
