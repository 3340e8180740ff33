"""axe finds nothing on the pages of jobs, light and dark, wide and narrow, and none of them scrolls sideways."""

from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from aiworkstation.access.models import ApiToken
from jobs.models import SavedView
from jobs.saved_workflows import save_workflow
from jobs.schedules import create_schedule
from jobs.start import start
from mail.links import Invitation, key_of
from tests.browser.conftest import sign_in
from tests.support.documents import index, upload
from tests.support.jobs import WORKER, claim, complete, fail, start_job
from tests.support.mail import asked
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.models import SecretGrant, WorkflowExecution, WorkflowStep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

WIDTHS = (1280, 360)
SCHEMES = ("light", "dark")
LONG = "Quarterlyreviewofthesalesregionwithoutanyspaces"
SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


APPROVAL = {"name": "Ask", "tool": "APPROVAL", "arguments": {"question": "Go on?"}}


def diamond(user: User) -> WorkflowExecution:
    """A failed job with a graph, an attempt that failed, and model usage."""
    steps = [
        {"name": LONG},
        {"name": "Left", "dependsOn": [LONG]},
        {"name": "Right", "dependsOn": [LONG]},
        {"name": "Bottom", "dependsOn": ["Left", "Right"]},
    ]
    job = start_job(user, payload={"workflowName": LONG, "steps": steps}, tags=["legal"], projectId=LONG)
    fail(claim(job.pk)[0], "the provider is busy", retryable=True)
    WorkflowStep.objects.filter(execution=job, index=0).update(ready_at="2020-01-01T00:00:00Z")
    usage = {"inputTokens": 812, "outputTokens": 96, "costUsd": "0.0030"}
    complete(claim(job.pk)[0], "done", model="gpt-4o", usage=usage)
    left, right = claim(job.pk, 2)
    complete(left, "done")
    fail(right, "the tool refused the arguments")
    return job


def running(user: User) -> WorkflowExecution:
    job = start_job(user)
    complete(claim(job.pk)[0], "done")
    (step,) = claim(job.pk)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="2.1 kB written", progress=40)
    return job


def over_files(user: User) -> WorkflowExecution:
    documents = [{"id": upload(user, name, f"{name}.txt").client_id} for name in ("one", "two", "three")]
    job, _ = start(user, {"jobType": "bulk-documents", "payload": {"documents": documents}})
    fail(claim(job.pk)[0], "remove the password")
    return job


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_mailed_link(
    browser: Browser, live_server: LiveServer, demo: User, scheme: Literal["light", "dark"], width: int
) -> None:
    """Without signing in."""
    step = asked(demo, question=f"Send it?\n{LONG}{LONG}", show={LONG: LONG})
    key = key_of(Invitation(demo, step))
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(f"{live_server.url}/answer?key={key}")
        check(page, scheme, width)
        page.get_by_label("Arguments").fill("{")
        page.get_by_role("button", name="Approve step").click()
        page.get_by_role("alert").wait_for()
        check(page, scheme, width)
        page.get_by_label("Arguments").fill("{}")
        page.get_by_role("button", name="Approve step").click()
        page.get_by_role("status").wait_for()
        check(page, scheme, width)
        page.goto(f"{live_server.url}/answer?key={key}")
        page.get_by_role("heading", name="No open question").wait_for()
        check(page, scheme, width)


def check(page: Page, scheme: str, width: int) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url} {scheme} {width}\n{found.generate_report()}"
    assert not page.evaluate(SCROLLS), f"{page.url} scrolls sideways, {scheme} {width}"


def check_in_both_schemes(page: Page, width: int) -> None:
    """Changes the colors of the page that is open, as a page has them that was loaded with them."""
    for scheme in SCHEMES:
        page.evaluate("scheme => { document.documentElement.dataset.theme = scheme }", scheme)
        check(page, scheme, width)


def choose(page: Page, scheme: str) -> None:
    page.get_by_role("button", name=scheme.capitalize()).click()
    page.wait_for_selector(f"html[data-theme={scheme}]")


def other_pages(user: User) -> list[str]:
    """The addresses of the pages beside those of jobs, with contents."""
    document = index(user, upload(user, f"The price of {LONG} rose.", f"{LONG}.txt"))
    payload = {"workflowName": LONG, "steps": [{"name": LONG, "tool": "HTTP_REQUEST", "arguments": {"url": LONG}}]}
    workflow = save_workflow(user, {"name": "report", "payload": payload})
    create_schedule(user, workflow, {"every_seconds": 3600})
    ApiToken.issue(user, LONG[:40])
    SecretGrant.objects.create(secret=LONG, hosts=[f"{LONG}.example:443".lower()], places=["header:authorization"])
    SavedView.objects.create(owner=user, name=LONG, filters={"status": "failed"}, is_shared=True)
    asked = start_job(user, payload={"workflowName": "Ask", "steps": [APPROVAL]})
    (step,) = claim(asked.pk)
    engine.ask(step, LONG, "")
    turn(WORKER, [Outcome.asked(step, 3600)], [])
    return [
        "/documents/",
        "/documents/?q=nothing",
        f"/documents/{document.uid}",
        f"/documents/{document.uid}?view=chunks",
        "/search",
        "/search?q=price",
        "/search?q=nothing",
        "/settings/tokens",
        "/settings/password",
        "/jobs/approvals",
        f"/jobs/{asked.pk}",
        "/jobs/?status=failed",
        "/jobs/new?view=json",
        f"/jobs/new?workflow={workflow.pk}",
        "/workflows",
        f"/workflows/{workflow.pk}",
        "/webhooks",
    ]


def check_pages(page: Page, addresses: list[str]) -> None:
    for width, address in product(WIDTHS, addresses):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        closed = page.locator("main details:not([open]) > summary")
        while closed.count():
            closed.first.click()
        page.wait_for_load_state("networkidle")  # what was opened is fetched
        check_in_both_schemes(page, width)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_other_pages(
    browser: Browser,
    live_server: LiveServer,
    demo: User,
    settings: Settings,
    tmp_path: Path,
    scheme: str,
    width: int,
) -> None:
    settings.MEDIA_ROOT = tmp_path
    addresses = other_pages(demo)
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        page.get_by_role("button", name=scheme.capitalize()).click()
        page.wait_for_selector(f"html[data-theme={scheme}]")
        for address in addresses:
            page.goto(f"{live_server.url}{address}")
            page.locator("main details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
            page.wait_for_load_state("networkidle")
            check(page, scheme, width)


def test_pages_of_jobs(
    signed_in: Page, live_server: LiveServer, demo: User, settings: Settings, tmp_path: Path
) -> None:
    """Slow: axe looks at each page four times."""
    settings.MEDIA_ROOT = tmp_path
    failed, live, files = diamond(demo), running(demo), over_files(demo)
    addresses = [
        "/jobs/",
        "/jobs/?q=nothing&tag=x",
        "/jobs/new",
        f"/jobs/{failed.pk}",
        f"/jobs/{failed.pk}/rerun?from=2",
        f"/jobs/{failed.pk}/steps/0",
        f"/jobs/{failed.pk}/events",
        f"/jobs/{live.pk}",
        f"/jobs/{files.pk}",
        f"/jobs/{files.pk}/steps/0",
    ]
    page = signed_in
    for scheme in SCHEMES:
        choose(page, scheme)  # which marks its button, too
        check(page, scheme, WIDTHS[0])
    check_pages(page, [f"{live_server.url}{address}" for address in addresses])
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{live_server.url}/jobs/")
        page.get_by_label("Select", exact=False).last.check()
        page.get_by_role("button", name="Preview for selected jobs").click()
        page.wait_for_url("**/jobs/bulk")
        check_in_both_schemes(page, width)
        page.keyboard.press("?")
        check_in_both_schemes(page, width)
