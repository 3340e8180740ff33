"""The viewer of the API's description, in a real browser."""

from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer


def test_the_viewer(page: Page, live_server: LiveServer, browser_errors: list[str]) -> None:
    """It shows the operations, loads nothing from elsewhere, and breaks no rule of the policy."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{live_server.url}/api/docs")
    expect(page.locator("[data-path='/api/jobs']").first).to_be_visible()
    page.get_by_text("Start a job", exact=True).click()
    expect(page.get_by_text("workflowName").first).to_be_visible()
    assert [url for url in requested if not url.startswith((live_server.url, "data:"))] == []


def test_a_call_from_the_viewer(signed_in: Page, live_server: LiveServer) -> None:
    """The call uses the session of the browser, and its CSRF token."""
    signed_in.goto(f"{live_server.url}/api/docs")
    signed_in.get_by_text("Act on many jobs", exact=True).click()
    signed_in.get_by_role("button", name="Try it out").click()
    signed_in.get_by_role("button", name="Execute").click()
    expect(signed_in.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
