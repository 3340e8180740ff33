"""Light, dark, or as the system prefers."""

import pytest
from django.test import Client

from tests.support.html import text


def test_the_choice_is_remembered(at_alice: Client) -> None:
    assert "data-theme" not in text(at_alice.get("/jobs/"))
    response = at_alice.post("/settings/theme", {"theme": "dark", "next": "/search?q=x"})
    assert (response.status_code, response.headers["Location"]) == (302, "/search?q=x")
    page = text(at_alice.get("/jobs/"))
    assert '<html lang="en" data-theme="dark">' in page
    assert 'value="dark" aria-pressed="true"' in page
    at_alice.post("/settings/theme", {"theme": "system"})
    assert "data-theme" not in text(at_alice.get("/jobs/"))


@pytest.mark.parametrize("page", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_it_leads_to_no_other_site(at_alice: Client, page: str) -> None:
    response = at_alice.post("/settings/theme", {"theme": "light", "next": page})
    assert response.headers["Location"] == "/jobs/"


def test_an_unknown_theme_changes_nothing(at_alice: Client) -> None:
    at_alice.post("/settings/theme", {"theme": '"><script>'})
    assert "data-theme" not in text(at_alice.get("/jobs/"))
    at_alice.cookies["theme"] = "neon"
    assert "data-theme" not in text(at_alice.get("/jobs/"))
    assert at_alice.get("/settings/theme").status_code == 405
