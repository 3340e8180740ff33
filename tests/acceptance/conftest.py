"""The whole way: HTTP in, a worker process behind it, rows and answers out."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from aiworkstation.access import api_tokens
from tests.servers.hubspot_server import TOKEN, HubspotServer
from tests.support.processes import manage
from workflows.models import Mode

FINISHED = {"completed", "completed_with_errors", "failed", "cancelled"}


@pytest.fixture
def modes(transactional_db: None) -> None:
    """What an earlier test's flush took away."""
    for name in ("General", "Sales", "Admin"):
        Mode.objects.get_or_create(name=name)


@pytest.fixture
def api(modes: None, live_server: LiveServer) -> Iterator[httpx2.Client]:
    alice = User.objects.create_user("alice")
    _, token = api_tokens.issue(alice, "tests")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=f"{live_server.url}/api", headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def hubspot() -> Iterator[HubspotServer]:
    with HubspotServer(total=250, busy=1) as server:
        yield server


@pytest.fixture
def worker(modes: None, hubspot: HubspotServer, tmp_path: Path) -> Iterator[None]:
    settings = {"HUBSPOT_ACCESS_TOKEN": TOKEN, "HUBSPOT_BASE_URL": hubspot.url}
    with manage("work", log=tmp_path / "work.log", WORKERS="2", **settings):
        yield


@pytest.fixture(scope="session")
def corpus_rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def finished(api: httpx2.Client, job_id: str, *, seconds: float = 60) -> dict[str, Any]:
    """The job when it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = api.get(f"/jobs/{job_id}").raise_for_status().json()
        if job["status"] in FINISHED:
            return job
        time.sleep(0.2)
    raise AssertionError(f"not finished within {seconds:.0f} s: {job}")
