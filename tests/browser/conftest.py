"""A browser, the site in a thread, a worker as a process, and a model server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import ConsoleMessage, Page
from pytest_django.live_server_helper import LiveServer

from tests.servers.model_server import ModelServer
from tests.support.processes import manage
from workflows.models import Mode

PASSWORD = "correct horse"


@pytest.fixture
def demo(transactional_db: None) -> User:
    """A user. The modes are created again, because the flush of an earlier test deleted them."""
    Mode.objects.get_or_create(name="General")
    return User.objects.create_user("demo", password=PASSWORD)


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def worker(demo: User, model_server: ModelServer, tmp_path: Path) -> Iterator[None]:
    settings = {"WORKERS": "1", "OPENAI_BASE_URL": model_server.base_url}
    with manage("work", log=tmp_path / "work.log", **settings):
        yield


@pytest.fixture
def browser_errors(page: Page) -> Iterator[list[str]]:
    """Collects errors and warnings of the browser: in scripts, refused by the policy, not found. None is allowed."""
    found: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: found.append(str(error)))
    yield found
    assert not found


@pytest.fixture
def signed_in(page: Page, live_server: LiveServer, demo: User, browser_errors: list[str]) -> Page:
    sign_in(page, live_server.url)
    return page


def sign_in(page: Page, site: str) -> None:
    page.goto(site)
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/jobs/")
