"""Calls of the API from pages of other origins: real HTTP to the gate, with Django behind it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User

from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from tests.support.jobs import BODY
from tests.support.web_server import serving

pytestmark = pytest.mark.django_db(transaction=True)
APP = "https://app.example.com"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
ADDRESSES = ["/api/jobs", "/api/jobs/", "/api/documents", "/api/jobs/x/cancel", "/api/nowhere", "/api/openapi.json"]


@pytest.fixture
def allowed(settings: Any) -> list[str]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": [APP]})
    return [APP]


@pytest.fixture(params=["gate", "django"])
def site(request: pytest.FixtureRequest, allowed: list[str]) -> Iterator[httpx2.Client]:
    """The site as it is served, and with a gate that knows no origins: then Django answers alone, as under WSGI."""
    if request.param == "django":
        with httpx2.Client(transport=httpx2.WSGITransport(application), base_url="http://127.0.0.1") as client:
            yield client
        return
    with (
        serving(FrontGate(application, ROUTES, 2, allowed)) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


@pytest.fixture
def token(alice: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiToken.issue(alice)[1]}"}


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_preflight(site: httpx2.Client, path: str) -> None:
    """It needs no credentials, for browsers send none."""
    answer = site.options(path, headers={"Origin": APP, **ASK})
    assert (answer.status_code, answer.text) == (204, "")
    assert answer.headers["access-control-allow-origin"] == APP
    assert "POST" in answer.headers["access-control-allow-methods"]
    names = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "if-none-match", "if-match"} <= set(names)
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "origin" in answer.headers["vary"].lower()


def test_an_answer(site: httpx2.Client, token: dict[str, str]) -> None:
    answer = site.post("/api/jobs", json=BODY, headers={"Origin": APP, **token})
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == APP
    assert "origin" in answer.headers["vary"].lower()
    exposed = answer.headers["access-control-expose-headers"].lower()
    for name in ("etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"):
        assert name in exposed.split(", ")


def test_a_conditional_answer(site: httpx2.Client, token: dict[str, str]) -> None:
    headers = {"Origin": APP, **token}
    tag = site.get("/api/jobs", headers=headers).headers["etag"]
    unchanged = site.get("/api/jobs", headers={**headers, "If-None-Match": tag})
    assert (unchanged.status_code, unchanged.headers["access-control-allow-origin"]) == (304, APP)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/jobs", {}, 401),
        ("GET", "/api/jobs", {"Authorization": "Bearer nonsense"}, 401),
        ("GET", "/api/nowhere", {}, 404),
        ("PUT", "/api/jobs", {}, 401),
    ],
)
def test_a_page_can_read_errors(
    site: httpx2.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = site.request(method, path, headers={"Origin": APP, **headers})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, APP)


def test_without_an_origin_the_answer_says_that_it_would_differ(site: httpx2.Client, token: dict[str, str]) -> None:
    answer = site.get("/api/jobs", headers=token)
    assert "access-control-allow-origin" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


def test_an_ordinary_options_call_reaches_the_api(site: httpx2.Client) -> None:
    answer = site.options("/api/jobs")
    assert answer.status_code == 401


class TestTheGatesOwnAnswers:
    @pytest.fixture
    def gate(self, allowed: list[str]) -> Iterator[httpx2.Client]:
        with (
            serving(FrontGate(application, ROUTES, 2, allowed)) as port,
            httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            yield client

    def test_a_page_can_read_refusals(self, gate: httpx2.Client, token: dict[str, str]) -> None:
        headers = {"Origin": APP, "Content-Type": "application/json", **token}
        answer = gate.post("/api/jobs", content=b"x" * (11 * 1024 * 1024), headers=headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (413, APP)
        form = gate.post("/api/jobs", files={"file": b"x"}, headers={"Origin": APP, **token})
        assert (form.status_code, form.headers["access-control-allow-origin"]) == (415, APP)

    def test_a_stranger_cannot(self, gate: httpx2.Client, token: dict[str, str]) -> None:
        form = gate.post("/api/jobs", files={"file": b"x"}, headers={"Origin": "https://evil.example", **token})
        assert (form.status_code, "access-control-allow-origin" in form.headers) == (415, False)

    def test_an_upload(self, gate: httpx2.Client, token: dict[str, str]) -> None:
        answer = gate.post("/api/documents", files={"file": ("a.txt", b"words")}, headers={"Origin": APP, **token})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, APP)
        refused = gate.post("/api/documents", files={"file": ("a.txt", b"words")}, headers={"Origin": APP})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, APP)


def test_a_refused_preflight_says_what_to_do(site: httpx2.Client) -> None:
    answer = site.options("/api/jobs", headers={"Origin": "https://other.example.com", **ASK})
    assert answer.status_code == 403
    (error,) = json.loads(answer.text)["errors"]
    assert error["code"] == "origin_not_allowed"
    assert "CORS_ORIGINS" in error["detail"]
