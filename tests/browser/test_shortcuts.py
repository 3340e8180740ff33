"""Keys, the title, and selected rows that survive a swap."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.support.jobs import complete_all, start_job
from workflows import engine

pytestmark = pytest.mark.django_db(transaction=True)


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.name || document.activeElement.textContent"))


def test_rows_and_search_by_keys(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    for name in ("Oldest", "Middle", "Newest"):
        complete_all(start_job(demo, payload={"workflowName": name, "steps": [{"name": "One"}]}))
    page.goto(f"{live_server.url}/jobs/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == "Middle"
    page.keyboard.press("k")
    assert focused(page) == "Newest"
    page.keyboard.press("x")
    expect(page.get_by_label("Select Newest")).to_be_checked()
    page.keyboard.press("/")
    assert focused(page) == "q"
    page.keyboard.type("j/x?")
    expect(page.locator("main input[name=q]")).to_have_value("j/x?")
    page.goto(f"{live_server.url}/settings/tokens")
    page.keyboard.press("/")
    page.wait_for_url("**/search")


def test_the_list_of_shortcuts_turns_them_off(signed_in: Page) -> None:
    page = signed_in
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Use these shortcuts").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement === document.body")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(dialog).to_be_visible()


def test_the_title_counts_and_the_selection_stays(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    first = start_job(demo, payload={"workflowName": "First", "steps": [{"name": "One"}]})
    page.goto(f"{live_server.url}/jobs/")
    expect(page).to_have_title("(1) Jobs · AI Workstation")
    page.get_by_label("Select First").check()
    second = start_job(demo, payload={"workflowName": "Second", "steps": [{"name": "One"}]})
    expect(page.get_by_role("link", name="1 new job")).to_be_visible()
    expect(page).to_have_title("(2) Jobs · AI Workstation")
    expect(page.get_by_label("Select First")).to_be_checked()
    for job in (first, second):
        engine.cancel(job.pk, actor="demo")
    expect(page).to_have_title("Jobs · AI Workstation")
