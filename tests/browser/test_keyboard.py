"""The pages by keyboard alone: where the focus is, that it is visible, and that updates do not take it away."""

from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from jobs.start import start
from tests.support.documents import index, upload
from tests.support.jobs import claim, complete, fail
from workflows.models import WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)

SETTLED = 2.5 * 1000
"""Milliseconds: long enough for at least one poll."""


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def focused(page: Page) -> str:
    """Returns what a screen reader calls the focused element, or its name."""
    return str(
        page.evaluate(
            "(e => e.getAttribute('aria-label') || e.innerText?.trim() || e.name || e.tagName)(document.activeElement)"
        )
    )


def has_focus(page: Page, selector: str) -> bool:
    return bool(page.evaluate("selector => document.activeElement.matches(selector)", selector))


def tab_until(page: Page, name: str, most: int = 60) -> None:
    """Presses Tab until the element has the focus. Fails if it never gets it."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        passed.append(focused(page))
        if passed[-1] == name:
            return
    raise AssertionError(f"no {name!r} among {passed}")


def is_visible(page: Page) -> bool:
    """Whether the focused element has an outline and is on the screen."""
    return bool(
        page.evaluate(
            """() => {
              const element = document.activeElement;
              const style = getComputedStyle(element);
              const box = element.getBoundingClientRect();
              return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
                && box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight;
            }"""
        )
    )


def start_bulk(user: User, *names: str) -> UUID:
    documents = [{"id": upload(user, name, f"{name}.txt").client_id} for name in names]
    job, _ = start(user, {"jobType": "bulk-documents", "payload": {"documents": documents}})
    return job.pk


@pytest.mark.parametrize("address", ["/jobs/", "/documents/", "/search", "/jobs/new", "/settings/tokens"])
def test_the_content_is_one_key_away_and_each_focus_is_visible(
    signed_in: Page, live_server: LiveServer, address: str
) -> None:
    page = signed_in
    page.goto(f"{live_server.url}{address}")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    assert is_visible(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert has_focus(page, "main *")
    seen: list[str] = []
    while has_focus(page, "main *") and len(seen) < 100:
        seen.append(focused(page))
        assert is_visible(page), seen
        page.keyboard.press("Tab")
    assert seen
    assert len(seen) < 100


def test_a_document_is_found_and_opened(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    index(demo, upload(demo, "The price of lanterns rose.", "prices.txt"))
    page.goto(f"{live_server.url}/search")
    tab_until(page, "q")
    page.keyboard.type("lanterns")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=lanterns*")
    tab_until(page, "prices.txt")
    page.keyboard.press("Enter")
    expect(page.locator("#passage mark")).to_have_text("lanterns")
    page.keyboard.press("Home")
    tab_until(page, "Chunks")
    page.keyboard.press("Enter")
    expect(page.get_by_text("characters 0–27")).to_be_visible()
    tab_until(page, "Delete…")
    page.keyboard.press("Enter")
    tab_until(page, "Delete permanently", most=1)


def test_updates_of_documents_keep_the_focus(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    job = start_bulk(demo, "one", "two")
    page.goto(f"{live_server.url}/documents/")
    tab_until(page, "Select two.txt")
    page.keyboard.press("Space")
    (step,) = claim(job)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="page 120 of 400", progress=27)
    expect(page.locator("main").get_by_text("page 120 of 400")).to_be_visible()
    assert focused(page) == "Select two.txt"
    complete(step, {"pages": 1, "words": 1, "chunks": 1})
    page.wait_for_timeout(SETTLED)
    assert focused(page) == "Select two.txt"
    expect(page.get_by_label("Select two.txt")).to_be_checked()


def test_files_of_a_job_are_followed_cancelled_and_retried(
    signed_in: Page, live_server: LiveServer, demo: User
) -> None:
    """The focus survives swaps of its row and of the pressed button."""
    page = signed_in
    job = start_bulk(demo, "one", "two", "three")
    page.goto(f"{live_server.url}/jobs/{job}")
    tab_until(page, "two.txt")
    (first,) = claim(job)
    fail(first, "remove the password")
    expect(page.locator("#file-0")).to_contain_text("remove the password")
    (second,) = claim(job)
    WorkflowStep.objects.filter(pk=second.step_id).update(message="page 120 of 400", progress=27)
    expect(page.locator("#file-1")).to_contain_text("page 120 of 400")
    assert focused(page) == "two.txt"
    page.reload()
    tab_until(page, "Failed 1")
    complete(second, {"pages": 1, "words": 1, "chunks": 1})
    page.wait_for_timeout(SETTLED)
    assert focused(page) == "Failed 1"
    page.keyboard.press("Enter")
    page.wait_for_url("**state=failed*")
    expect(page.locator("table.files tbody tr")).to_have_count(1)
    page.keyboard.press("Home")
    cancel = page.locator("main button.danger")
    cancel.focus()
    page.keyboard.press("Enter")
    retry = page.get_by_role("button", name="Retry")
    expect(retry).to_be_visible()
    page.wait_for_timeout(SETTLED)
    assert has_focus(page, "main *")
    page.keyboard.press("Tab")
    assert has_focus(page, "main *")


def test_a_job_cancelled_in_the_panel(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    """The job's button disappears with it. The next Tab continues from the panel."""
    page = signed_in
    start_bulk(demo, "one")
    page.goto(f"{live_server.url}/search")
    panel = page.locator("#jobs-panel")
    panel.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(panel).to_be_empty()
    page.wait_for_timeout(SETTLED)
    assert has_focus(page, ".side *")
    page.keyboard.press("Tab")
    assert focused(page) == "Light"


def test_next_pages_begin_after_the_page_before(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    text = " ".join(f"Sentence number {number} tells of the harvest." for number in range(3000))
    document = index(demo, upload(demo, text, "long.txt"))
    page.goto(f"{live_server.url}/documents/{document.uid}?view=chunks")
    tab_until(page, "Continue")
    page.keyboard.press("Enter")
    page.wait_for_url("**from=51*")
    expect(page.get_by_text("Chunk 51 ")).to_be_visible()
    page.keyboard.press("Tab")
    assert has_focus(page, "#document-text *")
