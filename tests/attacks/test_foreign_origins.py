"""Pages of origins that are not allowed, and what they try."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES
from aiworkstation.audit.models import AuditEvent
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from tests.support.jobs import BODY
from tests.support.web_server import serving
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)
APP = "https://app.example.com"
FOREIGN = [
    "null",
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:444",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://x.app.example.com",
    "https://app.example.com/",
    "HTTPS://APP.EXAMPLE.COM",
    "https://app.example.com, https://evil.example",
    "*",
    "",
    "x" * 10_000,
]
ASK = {"Access-Control-Request-Method": "POST"}


@pytest.fixture
def site(settings: Any) -> Iterator[httpx2.Client]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": [APP]})
    with (
        serving(FrontGate(application, ROUTES, 2, [APP])) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def shared(answer: httpx2.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_gets_nothing(site: httpx2.Client, alice: User, origin: str) -> None:
    token = {"Authorization": f"Bearer {ApiToken.issue(alice)[1]}"}
    preflight = site.options("/api/jobs", headers={"Origin": origin, **ASK})
    assert preflight.status_code == 403
    assert shared(preflight) == []
    assert "example" not in preflight.text
    for headers in ({}, token):
        assert shared(site.get("/api/jobs", headers={"Origin": origin, **headers})) == []


def test_two_origins_are_none(site: httpx2.Client) -> None:
    headers = [("Origin", APP), ("Origin", "https://evil.example")]
    assert shared(site.get("/api/jobs", headers=headers)) == []


def test_no_page_gets_the_session(site: httpx2.Client, alice: User) -> None:
    """Without Access-Control-Allow-Credentials, a browser shows no answer to a call that had cookies."""
    client = Client()
    client.force_login(alice)
    cookies = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    for answer in (
        site.options("/api/jobs", headers={"Origin": APP, **ASK}),
        site.get("/api/jobs", headers={"Origin": APP, **cookies}),
    ):
        assert "access-control-allow-credentials" not in answer.headers
    started = site.post("/api/jobs", json=BODY, headers={"Origin": APP, **cookies})
    assert started.status_code == 403
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("path", ["/", "/jobs/", "/jobs/panel", "/login", "/metrics", "/health/ready", "/admin/"])
def test_pages_are_not_shared(site: httpx2.Client, path: str) -> None:
    assert shared(site.get(path, headers={"Origin": APP})) == []
    assert shared(site.options(path, headers={"Origin": APP, **ASK})) == []


def test_a_flood_of_preflights_takes_no_thread_and_leaves_no_trace(settings: Any) -> None:
    """The application is never called, so a thousand of them cost neither threads nor rows."""

    def untouchable(environ: Any, start_response: Any) -> Any:
        raise AssertionError("a preflight reached the application")

    async def flood(port: int) -> list[int]:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None) as client:
            origins = [APP, "https://evil.example"] * 500
            calls = [client.options("/api/jobs", headers={"Origin": origin, **ASK}) for origin in origins]
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    with serving(FrontGate(untouchable, ROUTES, 2, [APP])) as port:
        statuses = asyncio.run(flood(port))
    assert (statuses.count(204), statuses.count(403)) == (500, 500)
    assert not AuditEvent.objects.exists()


def test_a_preflight_with_a_body_is_answered_without_it(site: httpx2.Client) -> None:
    headers = {"Origin": APP, **ASK, "Content-Type": "application/json"}
    answer = site.request("OPTIONS", "/api/jobs", content=b"x" * 20_000_000, headers=headers)
    assert answer.status_code == 204
