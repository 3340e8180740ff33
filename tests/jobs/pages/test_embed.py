"""The panel in other sites: the page for frames, and the script of the element."""

from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.html import poll_url, swapped, text
from tests.support.jobs import complete_all, start_job

APP, OTHER = "https://app.example.com", "https://b.example.com:8443"
LIVE = "jobs-panel-live"
SCRIPT = "/embed/background-jobs-panel.js"
KINDS = ["/jobs/embed", "/jobs/embed?compact"]


@pytest.fixture
def embeddable(settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"embed_origins": [APP, OTHER]})


@pytest.mark.parametrize("address", KINDS)
def test_the_listed_origins_may_frame_it(embeddable: None, at_alice: Client, address: str) -> None:
    page = at_alice.get(address)
    assert page.headers["Content-Security-Policy"].endswith(f"; frame-ancestors {APP} {OTHER}")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "X-Frame-Options" not in page.headers


@pytest.mark.parametrize("address", KINDS)
def test_by_default_nobody_may(at_alice: Client, address: str) -> None:
    page = at_alice.get(address)
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"


def test_it_shows_unfinished_and_finished_jobs(alice: User, at_alice: Client) -> None:
    running, done = start_job(alice), start_job(alice)
    complete_all(done)
    page = text(at_alice.get("/jobs/embed"))
    assert f"panel-{running.pk}-cancel" in page
    assert f"panel-{done.pk}-state" in page
    compact = text(at_alice.get("/jobs/embed?compact"))
    assert f"panel-{running.pk}-cancel" in compact
    assert f"panel-{done.pk}-state" not in compact


def test_it_is_empty(at_alice: Client) -> None:
    assert "No jobs yet" in text(at_alice.get("/jobs/embed"))
    assert "<h2>" not in text(at_alice.get("/jobs/embed?compact"))


@pytest.mark.parametrize("address", KINDS)
def test_it_notices_new_jobs(alice: User, at_alice: Client, address: str) -> None:
    """The page around it starts jobs, and does not tell it."""
    page = at_alice.get(address)
    assert "every 15s" in text(page)
    url = poll_url(page, LIVE)
    assert at_alice.get(url).status_code == 204
    start_job(alice)
    answer = at_alice.get(url)
    assert "jobs-panel" in swapped(answer)
    assert "every 1s" in text(answer)


def test_a_finished_job_can_be_retried_after_a_poll(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get("/jobs/embed"), LIVE)
    at_alice.post(f"/jobs/{job.pk}/cancel")
    assert f'action="/jobs/{job.pk}/retry"' in text(at_alice.get(url))


def test_a_visitor_gets_a_link_to_the_sign_in_page(embeddable: None, client: Client) -> None:
    page = client.get("/jobs/embed")
    assert 'href="/login"' in text(page)
    assert "X-Frame-Options" not in page.headers
    assert client.get("/login").headers["X-Frame-Options"] == "DENY"


def test_a_poll_without_a_session_reloads_the_frame(client: Client) -> None:
    assert client.get("/jobs/embed?seen=x", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


@pytest.mark.parametrize(("theme", "shown"), [("dark", True), ("light", True), ("odd", False), ('"><script>', False)])
def test_the_page_around_it_chooses_the_colors(at_alice: Client, theme: str, shown: bool) -> None:
    page = text(at_alice.get("/jobs/embed", {"theme": theme}))
    assert ("data-theme" in page) is shown
    assert "<script>" not in page


class TestTheScript:
    def test_pages_of_any_origin_may_load_it(self, client: Client) -> None:
        script = client.get(SCRIPT)
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert script.headers["Access-Control-Allow-Origin"] == "*"
        assert script.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert 'baseUrl: "http://testserver"' in text(script)

    def test_it_is_small(self, client: Client) -> None:
        script = client.get(SCRIPT, headers={"Accept-Encoding": "gzip"})
        assert script.headers["Content-Encoding"] == "gzip"
        assert len(script.content) < 12_000

    def test_it_is_one_file(self, client: Client) -> None:
        script = text(client.get(SCRIPT))
        assert not [line for line in script.splitlines() if line.startswith(("import", "export"))]
        assert "import(" not in script

    def test_it_is_kept(self, client: Client, alice: User) -> None:
        script = client.get(SCRIPT)
        assert script.headers["Cache-Control"].startswith("public, max-age=3600")
        tag = script.headers["ETag"]
        unchanged = client.get(SCRIPT, headers={"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.headers["Access-Control-Allow-Origin"]) == (304, "*")
        version = tag.removeprefix("W/").strip('"')
        assert "immutable" in client.get(SCRIPT, {"v": version}).headers["Cache-Control"]
        assert "immutable" not in client.get(SCRIPT, {"v": "older"}).headers["Cache-Control"]
        client.force_login(alice)
        assert client.get(SCRIPT).headers["Cache-Control"].startswith("private")  # the answer renews the session
        assert client.get(SCRIPT).headers["Cache-Control"].startswith("public")

    def test_a_host_that_is_not_ours_gets_none(self, client: Client) -> None:
        assert client.get(SCRIPT, headers={"Host": 'evil.example"});alert(1)//'}).status_code == 400


def test_no_other_answer_to_a_session_is_kept(at_alice: Client) -> None:
    assert at_alice.get("/jobs/embed").headers["Cache-Control"] == "private, no-store"
    at_alice.cookies = SimpleCookie({"sessionid": "ended"})
    assert at_alice.get("/jobs/").headers["Cache-Control"] == "private, no-store"
