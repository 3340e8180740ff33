"""The page of the failures in a browser."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import sign_in
from tests.browser.test_accessibility import LONG, check
from tests.support.jobs import claim, fail, start_job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def failures(demo: User) -> None:
    for message in ("no answer after 5 s", "no answer after 7 s", f"the tool refused {LONG * 4}", "muted"):
        fail(claim(start_job(demo).pk)[0], message)


@pytest.mark.usefixtures("failures")
def test_retry_and_mute(signed_in: Page) -> None:
    signed_in.get_by_role("link", name="Failures", exact=True).click()
    signed_in.get_by_role("button", name="Retry their jobs…").first.click()
    expect(signed_in.get_by_role("heading", name="Retry 2 jobs?")).to_be_visible()
    signed_in.go_back()
    signed_in.locator("main summary", has_text="Mute").first.click()
    signed_in.get_by_label("Note").first.fill("a known outage")
    signed_in.get_by_role("button", name="Mute until it changes").first.click()
    signed_in.get_by_text("Muted (1)").click()
    expect(signed_in.get_by_text("a known outage")).to_be_visible()


@pytest.mark.usefixtures("failures")
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe(browser: Browser, live_server: LiveServer, scheme: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        page.get_by_role("button", name=scheme.capitalize()).click()
        page.wait_for_selector(f"html[data-theme={scheme}]")
        page.goto(f"{live_server.url}/failures")
        page.locator("main summary", has_text="Mute").last.click()
        page.get_by_role("button", name="Mute until it changes").last.click()
        page.get_by_text("Muted (1)").click()
        page.locator("main summary", has_text="Mute").first.click()
        check(page, scheme, width)
        page.locator("main th a").first.click()
        check(page, scheme, width)
