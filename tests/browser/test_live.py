"""What a page does while the server changes, is slow, or is away."""

import json

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from jobs.start import start
from tests.support.jobs import complete_all
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)


def start_job(user: User, name: str) -> WorkflowExecution:
    payload = {"workflowName": name, "steps": [{"name": "One"}]}
    return start(user, {"jobType": "workflow", "payload": payload})[0]


def test_new_jobs_push_no_row(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    complete_all(start_job(demo, "First"))
    page.goto(f"{live_server.url}/jobs/")
    start_job(demo, "Second")
    start_job(demo, "Third")
    button = page.get_by_role("link", name="2 new jobs")
    expect(button).to_be_visible(timeout=15_000)  # the list was idle
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    button.click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)
    expect(page.locator("#new-jobs")).to_be_empty()


def test_a_server_that_is_away_and_back(
    signed_in: Page, live_server: LiveServer, demo: User, browser_errors: list[str]
) -> None:
    page = signed_in
    job = start_job(demo, "Goes on")
    page.goto(f"{live_server.url}/jobs/")
    page.context.set_offline(True)
    notice = page.locator("#connection")
    expect(notice).to_contain_text("The server cannot be reached.")
    complete_all(job)
    page.context.set_offline(False)
    expect(notice).to_be_hidden()
    expect(page.locator(f"#job-{job.pk}-state")).to_contain_text("completed")
    browser_errors.clear()  # the failed requests


def test_a_slow_server_is_polled_less_often(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    page = signed_in
    start_job(demo, "Goes on")
    page.goto(f"{live_server.url}/search")
    page.evaluate("""() => {
      const { send } = XMLHttpRequest.prototype;
      XMLHttpRequest.prototype.send = function (...body) { setTimeout(() => send.apply(this, body), 1000); };
    }""")
    with page.expect_request("**/jobs/panel*"):
        pass
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.wait_for_timeout(6000)
    assert len(polls) <= 2, polls


def test_the_title_and_the_icon_count_and_a_finished_job_announces_itself_once(
    signed_in: Page, live_server: LiveServer, demo: User
) -> None:
    page = signed_in
    job = start_job(demo, "Quarterly review")
    page.goto(f"{live_server.url}/search")
    other = page.context.new_page()
    other.goto(f"{live_server.url}/search")
    assert page.title().startswith("(1) ")
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/static/favicons/1.svg")
    complete_all(job)
    announced = [page.locator("#finished-jobs a"), other.locator("#finished-jobs a")]
    expect(page.locator("#jobs-panel")).to_be_empty()
    expect(other.locator("#jobs-panel")).to_be_empty()
    page.wait_for_function("localStorage.getItem('announced-jobs')")
    other.wait_for_load_state("networkidle")
    assert sum(each.count() for each in announced) == 1
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", f"{live_server.url}/static/favicon.svg")
    assert not page.title().startswith("(")
    stored = page.evaluate("localStorage.getItem('announced-jobs')")
    assert str(job.pk) in json.loads(stored)[0]
