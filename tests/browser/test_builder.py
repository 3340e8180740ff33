"""The builder of workflows in a real browser: by mouse, by keyboard, and without JavaScript."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import sign_in
from tests.servers.model_server import ModelServer, Reply
from tests.support.documents import upload
from workflows.models import SecretGrant, WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def builder(signed_in: Page, live_server: LiveServer) -> Page:
    signed_in.goto(f"{live_server.url}/jobs/new")
    signed_in.evaluate("window.isTheSamePage = true")
    return signed_in


def is_marked(page: Page) -> bool:
    return bool(page.evaluate("window.isTheSamePage === true"))


def add_steps(page: Page, *names: str) -> None:
    for number, name in enumerate(names, start=1):
        if number > 1:
            page.get_by_role("button", name="Add step").click()
        page.locator(f"#id_step-{number}-name").fill(name)


def step_names(page: Page) -> list[str]:
    fields = page.locator("fieldset.step-row input[name$='-name']")
    return [str(fields.nth(place).input_value()) for place in range(fields.count())]


def test_build_run_save_schedule_and_run_again(
    builder: Page, worker: None, model_server: ModelServer, demo: User
) -> None:
    page = builder
    model_server.script += [Reply("Ten lanterns."), Reply("# Report\n\nAll is **well**.")]
    page.get_by_label("Name").first.fill("Quarterly review")
    page.get_by_label("Model", exact=True).fill("test-model")
    add_steps(page, "Collect", "Report")
    assert is_marked(page)
    page.get_by_role("button", name="Start job", exact=True).click()
    page.wait_for_url("**/jobs/*-*")
    expect(page.locator("#job-result h1")).to_have_text("Report")
    page.get_by_role("link", name="Save as workflow").click()
    page.get_by_role("button", name="Save workflow").click()
    page.get_by_text("Add a schedule").click()
    page.get_by_label("Times (cron)").fill("0 9 * * mon-fri")
    page.get_by_role("button", name="Create schedule").click()
    expect(page.get_by_text("Created the schedule.")).to_be_visible()
    page.get_by_role("link", name="Edit and run").click()
    assert step_names(page) == ["Collect", "Report"]
    page.get_by_role("button", name="Copy step 1").click()
    expect(page.locator("fieldset.step-row")).to_have_count(3)
    page.get_by_role("button", name="Save new version").click()
    expect(page.get_by_text("Saved as version 2.")).to_be_visible()
    model_server.script += [Reply("Ten lanterns."), Reply("Twenty."), Reply("# Second report")]
    page.get_by_role("button", name="Run workflow").click()
    page.wait_for_url("**/jobs/*-*")
    expect(page.locator("#job-result h1")).to_have_text("Second report")


def test_the_fields_of_a_tool(builder: Page, demo: User, settings: Settings, tmp_path: Path) -> None:
    page = builder
    settings.MEDIA_ROOT = tmp_path
    SecretGrant.objects.create(secret="CRM", hosts=["api.example.com:443"], places=["header:authorization"])
    document = upload(demo, "Hello.", "hello.txt")
    page.reload()
    page.evaluate("window.isTheSamePage = true")
    add_steps(page, "Call")
    page.get_by_label("Instructions").fill("typed before")
    page.get_by_label("Done by").select_option("HTTP_REQUEST")
    page.get_by_role("button", name="Insert the secret authorization: {{secret.CRM}}").click()
    expect(page.get_by_label("headers", exact=True)).to_have_value("authorization: {{secret.CRM}}")
    expect(page.get_by_label("Instructions")).to_have_value("typed before")
    page.get_by_label("Arguments", exact=True).select_option("json")
    expect(page.get_by_label("headers", exact=True)).to_be_hidden()
    expect(page.get_by_label("Arguments (JSON)")).to_be_visible()
    page.get_by_label("Arguments", exact=True).select_option("model")
    expect(page.get_by_label("Arguments (JSON)")).to_be_hidden()
    page.get_by_label("Done by").select_option("DOCUMENT_READ")
    expect(page.get_by_label("documentId (required)")).to_have_count(1)
    page.get_by_label("Arguments", exact=True).select_option("fields")
    expect(page.locator("#documents-to-pick option")).to_have_attribute("value", document.client_id)
    page.get_by_label("documentId (required)").fill(document.client_id)
    assert is_marked(page)
    page.get_by_label("Name").first.fill("Read")
    page.get_by_role("button", name="Start job", exact=True).click()
    page.wait_for_url("**/jobs/*-*")
    assert WorkflowStep.objects.get().arguments == {"documentId": document.client_id}


def test_steps_are_moved_by_keyboard(builder: Page) -> None:
    page = builder
    add_steps(page, "A", "B", "C")
    expect(page.locator("#id_step-3-name")).to_be_focused()
    page.get_by_role("button", name="Move step 3 up").press("Enter")
    expect(page.get_by_role("button", name="Move step 2 up")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Move step 1 down")).to_be_focused()
    assert step_names(page) == ["C", "A", "B"]
    page.get_by_role("button", name="Remove step 1").press("Enter")
    expect(page.locator("#id_step-1-name")).to_be_focused()
    assert step_names(page) == ["A", "B"]
    assert is_marked(page)


def test_a_step_is_dragged(builder: Page) -> None:
    page = builder
    page.set_viewport_size({"width": 1280, "height": 1800})
    add_steps(page, "A", "B", "C")
    page.locator("#step-3 summary").click()
    page.locator("#id_step-3-follows").select_option("chosen")
    page.locator("#step-3").get_by_label("A", exact=True).check()
    page.locator("#id_step-1-name").fill("Renamed")
    expect(page.locator("#step-3 .needs")).to_contain_text("Renamed")
    page.locator("#step-3 summary").click()  # closed again, it is in the lower half of the step
    page.locator("#step-1 [data-grip]").hover()
    page.mouse.down()
    box = page.locator("#step-3 summary").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5, steps=8)
    page.mouse.up()
    expect(page.locator("fieldset.step-row legend").first).to_have_text("Step 1")
    expect(page.locator("fieldset.step-row").last).to_have_id("step-1")
    expect(page.locator("#step-1 legend")).to_have_text("Step 3")
    assert step_names(page) == ["B", "C", "Renamed"]
    expect(page.locator("#step-3").get_by_label("Renamed", exact=True)).to_be_checked()
    assert is_marked(page)


def test_enter_starts_nothing(builder: Page) -> None:
    page = builder
    page.get_by_label("Name").first.fill("Half")
    add_steps(page, "A")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No errors found. Nothing was started.")).to_be_visible()


def test_the_json_view(builder: Page) -> None:
    page = builder
    page.get_by_label("Name").first.fill("Any")
    add_steps(page, "A")
    page.get_by_role("button", name="Edit as JSON").click()
    json = page.get_by_label("JSON", exact=True)
    json.fill(json.input_value().replace('"A"', '"From JSON"'))
    page.get_by_role("button", name="Edit as a form").click()
    assert step_names(page) == ["From JSON"]


def test_without_javascript(browser: Browser, live_server: LiveServer, demo: User) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, live_server.url)
        page.goto(f"{live_server.url}/jobs/new")
        add_steps(page, "A", "B")
        page.get_by_role("button", name="Move step 2 up").click()
        page.locator("#id_step-1-tool").select_option("DOCUMENT_SEARCH")
        page.locator("#step-1").get_by_role("button", name="Show the fields of this tool").click()
        page.get_by_label("query (required)").fill("prices")
        page.get_by_label("Name").first.fill("By hand")
        page.get_by_role("button", name="Start job", exact=True).click()
        page.wait_for_url("**/jobs/*-*")
    first, second = WorkflowStep.objects.order_by("index")
    assert (first.name, second.name, second.arguments) == ("B", "A", {"query": "prices"})
