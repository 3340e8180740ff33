"""The pages of jobs and the compact panel in a real browser."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, Request, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from jobs.start import start
from tests.browser.conftest import sign_in
from tests.servers.model_server import ModelServer, Reply
from tests.support.documents import upload
from tests.support.jobs import claim, complete, complete_all, fail
from workflows.models import WorkflowExecution, WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 1000
SLOWLY = Reply("Twelve words that come one by one, a good second for all.", per_second=10)


def fill_in(page: Page, name: str, model: str, *steps: str) -> None:
    page.get_by_role("link", name="Start a workflow").first.click()
    page.get_by_label("Name").first.fill(name)
    page.get_by_label("Model", exact=True).fill(model)
    for number, step in enumerate(steps, start=1):
        if number > 1:
            page.get_by_role("button", name="Add step").click()
        page.locator(f"#id_step-{number}-name").fill(step)
    page.get_by_role("button", name="Start job", exact=True).click()
    page.wait_for_url("**/jobs/*-*")


def mark(page: Page) -> None:
    """Marks the page. A reload removes the mark."""
    page.evaluate("window.isTheSamePage = true")


def is_marked(page: Page) -> bool:
    return bool(page.evaluate("window.isTheSamePage === true"))


def start_job(user: User, name: str) -> WorkflowExecution:
    payload = {"workflowName": name, "steps": [{"name": "One"}, {"name": "Two"}]}
    return start(user, {"jobType": "workflow", "payload": payload})[0]


def requests_of(page: Page, seconds: float) -> list[str]:
    heard: list[str] = []

    def hear(request: Request) -> None:
        heard.append(request.url)

    page.on("request", hear)
    page.wait_for_timeout(seconds * SECONDS)
    page.remove_listener("request", hear)
    return heard


def test_a_workflow_completes_while_the_page_is_open(signed_in: Page, worker: None, model_server: ModelServer) -> None:
    page = signed_in
    model_server.script += [SLOWLY, SLOWLY, Reply("# The report\n\nAll is **well**.")]
    fill_in(page, "Quarterly review", "test-model", "Collect", "Weigh", "Report")
    mark(page)
    expect(page.locator("#step-0-state")).to_contain_text("written")
    expect(page.locator("#step-0-state")).to_contain_text("completed")
    # What is open stays open, and what has the focus keeps it, while the page changes around it.
    page.locator("#step-0-details summary", has_text="Output").click()
    expect(page.locator("#step-0-details .output")).to_contain_text("Twelve words")
    page.locator("main").get_by_role("button", name="Cancel job Quarterly review").focus()
    expect(page.locator("#step-1-state")).to_contain_text("completed")
    expect(page.locator("#step-0-details .output")).to_contain_text("Twelve words")
    expect(page.locator("#step-2-state")).to_contain_text("completed")
    expect(page.locator("#job-result h1")).to_have_text("The report")
    expect(page.locator("#jobs-panel")).to_be_empty()
    assert is_marked(page)


def test_cancel_cuts_a_stalled_model_call(signed_in: Page, worker: None, model_server: ModelServer) -> None:
    page = signed_in
    fill_in(page, "Stalls for ever", "stall", "Ask")
    mark(page)
    expect(page.locator("#step-0-state")).to_contain_text("written")
    page.locator("main").get_by_role("button", name="Cancel job Stalls for ever").click()
    expect(page.locator("#step-0-state")).to_contain_text("cancelled")
    assert model_server.cut.wait(30)
    expect(page.get_by_role("button", name="Retry job")).to_be_visible()
    assert is_marked(page)


def test_the_compact_panel(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    """It is empty and silent without unfinished jobs. After a refresh event it polls until the jobs finish."""
    page = signed_in
    page.goto(f"{live_server.url}/search")
    mark(page)
    assert requests_of(page, 1.5) == []
    job = start_job(demo, "Started elsewhere")
    (step,) = claim(job.pk)
    page.evaluate("htmx.trigger(document.body, 'refresh-fragments')")
    expect(page.locator("#jobs-panel")).to_contain_text("Started elsewhere")
    page.locator("#jobs-panel").get_by_role("button", name="Cancel").focus()
    page.locator("main input[name=q]").evaluate("element => element.value = 'half a question'")
    WorkflowStep.objects.filter(pk=step.step_id).update(message="page 3 of 5", progress=60)
    expect(page.locator("#jobs-panel")).to_contain_text("page 3 of 5")
    expect(page.locator("#jobs-panel progress")).to_have_attribute("value", "30")
    expect(page.locator("#jobs-panel").get_by_role("button", name="Cancel")).to_be_focused()
    expect(page.locator("main input[name=q]")).to_have_value("half a question")
    assert requests_of(page, 2.5)
    page.locator("#jobs-panel").get_by_role("button", name="Cancel").click()
    expect(page.locator("#jobs-panel")).to_be_empty()
    assert requests_of(page, 1.5) == []
    assert is_marked(page)


def test_the_files_of_a_job_are_followed(
    signed_in: Page, live_server: LiveServer, demo: User, settings: Settings, tmp_path: Path
) -> None:
    page = signed_in
    settings.MEDIA_ROOT = tmp_path
    documents = [{"id": upload(demo, name, f"{name}.txt").client_id} for name in ("one", "two")]
    job, _ = start(demo, {"jobType": "bulk-documents", "payload": {"documents": documents}})
    page.goto(f"{live_server.url}/jobs/{job.pk}")
    mark(page)
    (step,) = claim(job.pk)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="page 120 of 400", progress=27)
    expect(page.locator("#file-0")).to_contain_text("page 120 of 400")
    complete(step, {"pages": 400, "words": 123456, "chunks": 300})
    expect(page.locator("#file-0 td").nth(2)).to_have_text("123,456")
    (step,) = claim(job.pk)
    fail(step, "remove the password")
    expect(page.locator("table.files tbody tr")).to_have_count(2)
    expect(page.locator("#file-1")).to_contain_text("remove the password")
    assert is_marked(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download failures as CSV").click()
    assert "remove the password" in download.value.path().read_text()
    page.get_by_role("link", name="Failed 1").click()
    expect(page.locator("table.files tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Retry").first.click()
    expect(page.get_by_role("link", name="Failed")).to_contain_text("0")


def test_without_javascript(browser: Browser, live_server: LiveServer, demo: User) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        fill_in(page, "By hand", "", "One")
        page.locator("main").get_by_role("button", name="Cancel job By hand").click()
        expect(page.locator("#step-0-state")).to_contain_text("cancelled")
        page.get_by_role("button", name="Retry").first.click()
        job = WorkflowExecution.objects.get(owner=demo)
        complete_all(job, {"text": "*Done*.", "finishReason": "stop"})
        page.reload()
        expect(page.locator("#job-result em")).to_have_text("Done")
        page.locator("#step-0-details summary", has_text="Output").click()
        page.get_by_role("link", name="Open output").click()
        expect(page.locator(".output em")).to_have_text("Done")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_the_admin_works_with_the_content_security_policy(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    User.objects.filter(pk=demo.pk).update(is_staff=True, is_superuser=True)
    signed_in.goto(f"{live_server.url}/admin/")
    expect(signed_in.locator("#content")).to_be_visible()
