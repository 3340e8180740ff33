"""The React components in a page of another origin, built with vite."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from tests.servers.host_site import HostSite
from tests.support.jobs import complete_all
from tests.support.node import CLIENT, run_node
from workflows.models import Mode, WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_component_of_the_earlier_version(
    page: Page, live_server: LiveServer, demo: User, settings: Any, tmp_path: Path, browser_errors: list[str]
) -> None:
    """Only its import line differs. The policy of the page allows no inline script and no style."""
    run_node("vite", "build", str(CLIENT / "example"), "--outDir", str(tmp_path), "--emptyOutDir")
    Mode.objects.get_or_create(name="Sales")
    with HostSite(live_server.url) as host:
        host.add_folder(tmp_path)
        settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": [host.url]})
        page.goto(f"{host.url}/#api={live_server.url}&token={ApiToken.issue(demo)[1]}")
        compact, full = page.locator("background-jobs-panel").all()
        expect(full).to_contain_text("No jobs yet")
        expect(compact.locator("section")).to_be_hidden()
        page.get_by_role("button", name="Start Workflow").click()
        expect(page.get_by_text("Jobs running...")).to_be_visible()
        expect(compact).to_contain_text("My Workflow")
        job = WorkflowExecution.objects.get(owner=demo)
        assert (job.name, job.mode, job.model_id) == ("My Workflow", "Sales", "gpt-4o")
        complete_all(job)
        expect(page.get_by_text("Jobs running...")).to_be_hidden()
        expect(compact.locator("section")).to_be_hidden()
        expect(full.locator("li")).to_contain_text("completed")


MAIN = """
import { createRoot } from "react-dom/client";
import { Reports } from "./Reports.jsx";
createRoot(document.getElementById("root")).render(<Reports />);
"""
PACKAGES = {"aiworkstation-client": CLIENT, "react": CLIENT / "node_modules" / "react"}
PACKAGES["react-dom"] = CLIENT / "node_modules" / "react-dom"


def test_the_example_of_the_documentation(
    page: Page, live_server: LiveServer, demo: User, settings: Any, tmp_path: Path, browser_errors: list[str]
) -> None:
    """As written, but for the address and the token, in a project that has installed the package."""
    text = (BASE_DIR / "docs" / "clients.md").read_text()
    (example,) = re.findall(r"```jsx\n(.*?)```", text, re.DOTALL)
    example = example.replace("https://jobs.example.com", live_server.url).replace("aiw_…", ApiToken.issue(demo)[1])
    (tmp_path / "Reports.jsx").write_text(example)
    (tmp_path / "main.jsx").write_text(MAIN)
    for name in ("index.html", "vite.config.js"):
        (tmp_path / name).write_bytes((CLIENT / "example" / name).read_bytes())
    (tmp_path / "node_modules").mkdir()
    for name, package in {**PACKAGES, "vite": CLIENT / "node_modules" / "vite"}.items():
        (tmp_path / "node_modules" / name).symlink_to(package)
    run_node("vite", "build", str(tmp_path), "--outDir", str(tmp_path / "dist"))
    with HostSite(live_server.url) as host:
        host.add_folder(tmp_path / "dist")
        settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": [host.url]})
        page.goto(f"{host.url}/")
        page.get_by_role("button", name="Write a report").click()
        expect(page.locator("background-jobs-panel li")).to_contain_text("Report")
        complete_all(WorkflowExecution.objects.get(owner=demo))
        expect(page.get_by_text("Working…")).to_be_hidden()
