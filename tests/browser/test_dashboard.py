"""The dashboard in a browser: charts with scripts, tables without them."""

from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import sign_in
from tests.browser.test_accessibility import SCHEMES, WIDTHS, check, choose
from tests.support.jobs import claim, complete, fail, start_job
from workflows.models import WorkflowExecution

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def work(user: User) -> None:
    """Jobs that ended over the last hours, some of them failed."""
    now = timezone.now()
    for number in range(12):
        job = start_job(user)
        while claims := claim(job.pk):
            if number % 4 == 3:
                fail(claims[0])
                break
            usage = {"inputTokens": 812 * number, "outputTokens": 96 * number, "costUsd": "0.0130"}
            complete(claims[0], {"text": ""}, model="gpt-4o", usage=usage)
        end = now - timedelta(minutes=10 * number)
        WorkflowExecution.objects.filter(pk=job.pk).update(
            created_at=end - timedelta(seconds=9 + number), started_at=end - timedelta(seconds=7), finished_at=end
        )


def test_charts_are_drawn_and_tables_open(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    work(demo)
    signed_in.goto(f"{live_server.url}/dashboard?range=6h")
    expect(signed_in.locator(".plot canvas")).to_have_count(7)
    table = signed_in.get_by_role("region", name="Jobs by state, table")
    expect(table).to_be_hidden()
    signed_in.get_by_text("Jobs by state as a table").click()
    expect(table).to_be_visible()
    # Refreshing keeps the table open, and draws the charts again.
    with signed_in.expect_response("**/dashboard?range=6h"):
        signed_in.evaluate("htmx.ajax('GET', '/dashboard?range=6h', {target: '#dashboard', swap: 'outerHTML'})")
    expect(table).to_be_visible()
    expect(signed_in.locator(".plot canvas")).to_have_count(7)


def test_without_scripts(browser: Browser, live_server: LiveServer, demo: User) -> None:
    work(demo)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        page.get_by_role("link", name="Dashboard").click()
        page.get_by_role("link", name="6h").click()
        expect(page.get_by_role("region", name="Jobs by state, table")).to_be_visible()
        expect(page.locator(".plot[data-chart]").first).to_be_hidden()


def test_axe(signed_in: Page, live_server: LiveServer, demo: User) -> None:
    """Each look is loaded anew, because the charts are drawn in its colors and for its width."""
    work(demo)
    for width, scheme in product(WIDTHS, SCHEMES):
        signed_in.set_viewport_size({"width": width, "height": 800})
        choose(signed_in, scheme)
        signed_in.goto(f"{live_server.url}/dashboard?range=6h")
        expect(signed_in.locator(".plot canvas")).to_have_count(7)
        check(signed_in, scheme, width)
        for summary in signed_in.locator("main summary").all():
            summary.click()
        check(signed_in, scheme, width)
