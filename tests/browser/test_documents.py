"""The pages of documents in a real browser."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from tests.support.documents import index, upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def test_a_result_opens_at_its_passage(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    filler = "Nothing of note happens here.\n\n" * 1500
    index(demo, upload(demo, f"{filler}The price of lanterns rose.\n\n{filler}", "prices.txt"))
    page.goto(f"{live_server.url}/search?q=price+lantern")
    page.get_by_role("link", name="prices.txt").first.click()
    expect(page.locator("#passage mark")).to_have_text(["price", "lanterns"])
    expect(page.locator("#passage")).to_be_in_viewport()
    page.go_back()
    expect(page.get_by_role("link", name="prices.txt").first).to_be_visible()


def test_each_paragraph_runs_in_its_own_direction(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    document = index(demo, upload(demo, "Article 1\n\nيولد جميع الناس أحرارا", "rights.txt"))
    page.goto(f"{live_server.url}/documents/{document.uid}")
    left, right = page.evaluate(
        """() => {
          const box = document.querySelector(".plain");
          const text = box.firstChild;
          return [0, text.length - 1].map((at) => {
            const range = document.createRange();
            range.setStart(text, at);
            range.setEnd(text, at + 1);
            return (range.getBoundingClientRect().left - box.getBoundingClientRect().left) / box.clientWidth;
          });
        }"""
    )
    assert left < 0.1
    assert right > 0.5
