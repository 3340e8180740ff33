"""The shape of errors, and the behavior that all addresses of the API share."""

import json
import logging
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from tests.support.jobs import BODY


def error(response: Any) -> dict[str, Any]:
    body = response.json()
    assert body.keys() == {"type", "errors"}
    (only,) = body["errors"]
    assert only.keys() == {"code", "detail", "attr"}
    return {"type": body["type"], **only}


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/jobs/x/y/z", "/api/nothing/"])
def test_unknown_paths(client: Client, path: str) -> None:
    for response in (client.get(path), client.post(path), client.delete(path)):
        assert response.status_code == 404
        assert error(response)["code"] == "not_found"


def test_unknown_methods(as_alice: Client) -> None:
    response = as_alice.delete("/api/jobs")
    assert response.status_code == 405
    assert error(response) == {
        "type": "client_error",
        "code": "method_not_allowed",
        "detail": 'Method "DELETE" not allowed.',
        "attr": None,
    }


@pytest.mark.parametrize("path", ["jobs", "documents", "tools", "modes", "search?q=x"])
def test_what_answers_get_answers_head(as_alice: Client, path: str) -> None:
    response = as_alice.head(f"/api/{path}")
    assert response.status_code == 200
    assert not response.content
    assert as_alice.head("/api/jobs/nothing").status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_other_than_json(as_alice: Client, content_type: str) -> None:
    response = as_alice.post("/api/jobs", "x=1", content_type)
    assert response.status_code == 415
    assert error(response)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', b"\xff", "1" * 5000])
def test_bad_json(as_alice: Client, text: Any) -> None:
    response = as_alice.post("/api/jobs", text, "application/json")
    assert response.status_code == 400
    assert error(response)["code"] == "parse_error"


def test_too_large(as_alice: Client) -> None:
    text = json.dumps({"x": "y" * 10 * 1024 * 1024})
    response = as_alice.post("/api/jobs", text, "application/json")
    assert response.status_code == 413
    assert error(response)["code"] == "payload_too_large"


def test_json_whatever_the_accept_header_says(client: Client, as_alice: Client) -> None:
    response = as_alice.get("/api/jobs", headers={"accept": "text/html"})
    assert response["Content-Type"] == "application/json"
    assert response.status_code == 200


def test_a_server_error(as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    as_alice.raise_request_exception = False
    monkeypatch.setattr("jobs.api.views.list_executions", lambda *_: 1 / 0)
    response = as_alice.get("/api/jobs")
    assert response.status_code == 500
    assert error(response)["type"] == "server_error"


def test_request_ids(as_alice: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert as_alice.get("/api/nothing", headers={"X-Request-Id": "mine-1"})["X-Request-Id"] == "mine-1"
    made = as_alice.get("/api/nothing", headers={"X-Request-Id": "not mine\tat all"})["X-Request-Id"]
    assert len(made) == 32
    assert as_alice.get("/api/nothing")["X-Request-Id"] != made


def test_request_ids_are_in_the_log(as_alice: Client) -> None:
    lines: list[str] = []
    handler = next(each for each in logging.getLogger().handlers if each.filters)
    keep = logging.StreamHandler()
    keep.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    for each in handler.filters:
        keep.addFilter(each)
    logging.getLogger("django.request").addHandler(keep)
    try:
        as_alice.get("/api/nothing", headers={"X-Request-Id": "mine-2"})
    finally:
        logging.getLogger("django.request").removeHandler(keep)
    assert "[mine-2]" in lines[0]


class TestRate:
    @pytest.fixture(autouse=True)
    def two_a_minute(self, settings: Settings) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"api_rate": 2})

    def test_it_works(self, as_alice: Client, as_bob: Client) -> None:
        assert [as_alice.get("/api/tools").status_code for _ in range(3)] == [200, 200, 429]
        response = as_alice.post("/api/jobs", BODY, "application/json")
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 60
        assert error(response)["code"] == "throttled"
        assert as_bob.get("/api/tools").status_code == 200

    def test_headers(self, as_alice: Client, at_alice: Client) -> None:
        answers = [
            as_alice.get("/api/tools"),
            as_alice.post("/api/jobs", {}, "application/json"),
            at_alice.get("/api/tools"),
        ]
        answers.append(as_alice.get("/api/tools"))
        assert [answer.status_code for answer in answers] == [200, 400, 200, 429]
        assert [answer["RateLimit-Policy"] for answer in answers] == [
            f'"{name}";q=2;w=60' for name in ("token", "token", "user", "token")
        ]
        found = [re.fullmatch(r'"(?:token|user)";r=(\d+);t=(\d+)', answer["RateLimit"]) for answer in answers]
        assert [match and match[1] for match in found] == ["1", "0", "1", "0"]
        assert all(match and 0 < int(match[2]) <= 60 for match in found)
        assert answers[3]["Retry-After"] == (found[3] and found[3][2])

    def test_a_session_is_counted_apart_from_a_token(self, as_alice: Client, alice: User, client: Client) -> None:
        client.force_login(alice)
        assert [as_alice.get("/api/tools").status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/api/tools").status_code == 200
