"""Fixtures for the whole suite: people, a real browser, and real documents."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, TransactionTestCase
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from aiworkstation.audit import refused_requests
from tests.support.database import Cleaner, migrated_template
from tests.support.users import client_of, make_user

# A count of dropped events is recorded later, which could be within another test.
refused_requests.anonymous_events.limit = sys.maxsize

CORPUS = Path(os.environ.get("CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
REPORTS = CORPUS.parent / "reports" / "documents"
"""Small files made after public bug reports on other readers, and cases.jsonl, with the expected results."""
PATIENCE = 30_000
"""Milliseconds until a browser test gives up."""
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WORKERS_PER_CORE = 2
"""Test processes. For half of its time a test waits, for other processes mostly."""
MOST_WORKERS = 8
"""More would take more connections than PostgreSQL has by default."""
IN_ONE_PROCESS = (
    "tests/aiworkstation/ops/test_postgres.py",
    "tests/aiworkstation/ops/test_run.py",
    "tests/browser/",
    "tests/documents/reading/test_corpus.py",
    "tests/documents/reading/test_public_reports.py",
)
"""Modules whose tests share what is costly to make: a PostgreSQL of their own, Chromium, a pass over the corpus."""


class Scheduling(LoadScopeScheduling):
    """Gives each process the next test, or the next of the modules above, which go first.

    The groups of xdist 3.8 do this by marks, but have no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(IN_ONE_PROCESS) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return min(WORKERS_PER_CORE * len(os.sched_getaffinity(0)), MOST_WORKERS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts the slow tests first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = migrated_template()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        cleaner = Cleaner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_setup", cleaner.empty)
        patch.setattr(TransactionTestCase, "_fixture_teardown", cleaner.restore)
        yield
    with django_db_blocker.unblock():
        cleaner.end_other_sessions()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Real documents, good and bad, and MANIFEST.csv, which says what is to be found in them."""
    if not (CORPUS / "MANIFEST.csv").exists():
        pytest.skip("the corpus of real documents is not on this machine")
    return CORPUS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as it is on this machine: playwright's own is not downloaded. CI must have one.

    A loop of playwright's runs in this thread for as long as the fixture lives, so other modules must not see it.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on this machine")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # That loop makes Django think that the tests are asynchronous.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=PATIENCE)
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    return make_user("bob")


@pytest.fixture
def charlie(db: None) -> User:
    return make_user("charlie", is_staff=True)


@pytest.fixture
def as_alice(alice: User) -> Client:
    return client_of(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return client_of(bob)


@pytest.fixture
def as_charlie(charlie: User) -> Client:
    return client_of(charlie)


def browser_of(user: User) -> Client:
    """Signed in, with a session as a browser has it."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_alice(alice: User) -> Client:
    return browser_of(alice)


@pytest.fixture
def at_bob(bob: User) -> Client:
    return browser_of(bob)


@pytest.fixture
def at_charlie(charlie: User) -> Client:
    return browser_of(charlie)
