"""The page of the workers in a browser."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import sign_in
from tests.browser.test_accessibility import check
from tests.support.jobs import WORKER, claim, start_job
from workflows.models import Pause, Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def staff(demo: User) -> User:
    User.objects.filter(pk=demo.pk).update(is_staff=True)
    sizes = {"async": 250, "thread": 4, "process": 1, "alone": 4}
    Worker.objects.create(id=WORKER.id, kind="runner", host="machine-1", pid=7, version="1.2", slots=259, sizes=sizes)
    Worker.objects.create(kind="runner", host="machine-2", pid=9, version="1.2", slots=259, sizes=sizes)
    claim(start_job(demo).pk)
    return demo


@pytest.mark.usefixtures("staff")
def test_pause_resume_and_drain(signed_in: Page) -> None:
    signed_in.get_by_role("link", name="Workers", exact=True).click()
    signed_in.get_by_label("What").select_option("tool")
    signed_in.locator("select[name=tool_name]").select_option("HTTP_REQUEST")
    signed_in.get_by_label("Reason").fill("the provider is down")
    signed_in.get_by_role("button", name="Pause").click()
    expect(signed_in.get_by_text("The tool HTTP_REQUEST is paused by demo: the provider is down")).to_be_visible()
    signed_in.get_by_role("button", name="Resume").click()
    expect(signed_in.get_by_text("Resumed.")).to_be_visible()
    signed_in.get_by_role("button", name="Drain").first.click()
    expect(signed_in.get_by_role("button", name="Take steps again")).to_have_count(1)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("staff")
def test_axe(browser: Browser, live_server: LiveServer, scheme: str, width: int) -> None:
    Pause.objects.create(by="demo", reason="moving the database")
    Worker.objects.filter(host="machine-2").update(is_drained=True)
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        page.get_by_role("button", name=scheme.capitalize()).click()
        page.wait_for_selector(f"html[data-theme={scheme}]")
        page.goto(f"{live_server.url}/workers")
        check(page, scheme, width)
