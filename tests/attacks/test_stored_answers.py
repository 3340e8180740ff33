"""No cache keeps what a signed-in user gets: not the browser's, not a proxy's."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.attacks.test_permission_matrix import ROWS
from tests.attacks.test_permission_matrix import callers as callers
from tests.attacks.test_permission_matrix import world as world
from tests.support.documents import upload
from tests.support.jobs import start_job
from tests.support.users import client_of

PATHS = [
    "/jobs/",
    "/jobs/{job}",
    "/jobs/{job}/failures.csv",
    "/jobs/new",
    "/documents/",
    "/documents/{document}",
    "/documents/{document}/file",
    "/search?q=hello",
    "/settings/tokens",
    "/settings/password",
    "/admin/",
    "/api/jobs",
    "/api/jobs/{job}",
    "/api/jobs/{job}/steps",
    "/api/jobs/{job}/events",
    "/api/jobs/{job}/failures.csv",
    "/api/jobs/nothing",
    "/api/documents",
    "/api/documents/{document}",
    "/api/documents/{document}/file",
    "/api/documents/{document}/text",
    "/api/search?q=hello",
    "/api/modes",
    "/api/tools",
]


@pytest.fixture
def names(charlie: User) -> dict[str, object]:
    return {"job": start_job(charlie).pk, "document": upload(charlie, b"%PDF-1.4", "one.pdf").uid}


@pytest.mark.parametrize("path", PATHS)
def test_it_is_not_stored(at_charlie: Client, charlie: User, names: dict[str, object], path: str) -> None:
    for caller in (at_charlie, client_of(charlie)):
        response = caller.get(path.format(**names))
        assert response.headers["Cache-Control"] == "private, no-store"
        again = caller.get(path.format(**names), headers={"if-none-match": response.headers.get("ETag", '"x"')})
        assert again.headers["Cache-Control"] == "private, no-store"


PUBLIC = {
    "/",
    "/favicon.ico",
    "/api/openapi.json",
    "/api/docs",
    "/embed/background-jobs-panel.js",
    "/health/live",
    "/health/ready",
    "/metrics",
}
"""Anybody may read these."""


def test_no_address_is_stored(world: dict[str, Any], callers: dict[str, Client]) -> None:
    paths = [path.format(**world) for rows in ROWS.values() for method, path, _ in rows if method == "GET"]
    stored = []
    for path in paths:
        for role in ("owner", "token"):
            response = callers[role].get(path)
            if response.status_code == 200 and "no-store" not in response.headers.get("Cache-Control", ""):
                stored.append(path)
    assert set(stored) - PUBLIC == set()


def test_a_sign_in_is_not_stored(client: Client, db: None) -> None:
    assert "no-store" in client.get("/login").headers["Cache-Control"]


def test_the_landing_page_may_be(client: Client) -> None:
    assert "Cache-Control" not in client.get("/").headers
