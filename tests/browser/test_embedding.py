"""The panel in pages of other origins, in a real browser: the element, the frame, and what strangers cannot do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, ConsoleMessage, Frame, Page, Request, Response, expect
from pytest_django.live_server_helper import LiveServer

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES, THREADS
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from jobs.start import start
from tests.browser.conftest import sign_in
from tests.servers.host_site import HostSite
from tests.support.jobs import claim, complete_all
from tests.support.web_server import serving
from workflows.models import WorkflowExecution, WorkflowStep

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Theirs</title>
<main><h1>Their page</h1>{element}</main><script type="{kind}" src="{site}/embed/background-jobs-panel.js"></script>
<script type="module" src="/page.js"></script></html>"""
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
PANEL = "background-jobs-panel"
SLOW_FETCH = """const quick = fetch;
window.fetch = async (...input) => (await new Promise((go) => setTimeout(go, 1500)), quick(...input));"""


@pytest.fixture
def host(live_server: LiveServer, settings: Any) -> Iterator[HostSite]:
    with HostSite(live_server.url) as site:
        origins = {"cors_origins": [site.url, site.same_site], "embed_origins": [site.url, site.same_site]}
        settings.CONFIG = settings.CONFIG.model_copy(update=origins)
        yield site


@pytest.fixture
def token(demo: User) -> str:
    return ApiToken.issue(demo)[1]


def start_job(user: User, name: str = "Theirs") -> WorkflowExecution:
    payload = {"workflowName": name, "steps": [{"name": "One"}, {"name": "Two"}]}
    return start(user, {"jobType": "workflow", "payload": payload})[0]


def write(host: HostSite, site: str, element: str, script: str = "", kind: str = "module") -> None:
    host.pages["/index.html"] = PAGE.format(element=element, site=site, kind=kind).encode()
    host.pages["/page.js"] = script.encode()


def show(page: Page, host: HostSite, site: str, token: str, element: str = f"<{PANEL}></{PANEL}>") -> None:
    """Opens the page of another site, which sets the property `token`."""
    write(host, site, element, f'document.querySelector("{PANEL}").token = "{token}";')
    page.goto(f"{host.url}/")


def heard(page: Page) -> list[Response]:
    found: list[Response] = []
    page.on("response", lambda answer: found.append(answer) if "/api/jobs" in answer.url else None)
    return found


def hide(page: Page, hidden: str) -> None:
    page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def poll_now(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('online'))")


def test_the_element_with_a_token(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    answers = heard(page)
    job = start_job(demo)
    show(page, host, live_server.url, token)
    row = page.locator(f"{PANEL} li")
    expect(row).to_contain_text("Theirs")
    (step,) = claim(job.pk)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="page 3 of 5", progress=60)
    expect(row).to_contain_text("page 3 of 5")
    expect(row.locator("progress")).to_have_js_property("value", 30)
    expect(row.get_by_role("link", name="Theirs")).to_have_attribute("href", f"{live_server.url}/jobs/{job.pk}")
    row.get_by_role("button", name="Cancel job Theirs").focus()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("cancelled")
    expect(row.get_by_role("button", name="Retry job Theirs")).to_be_focused()
    expect(page.locator(PANEL).get_by_role("status")).to_contain_text("Theirs cancelled")
    row.get_by_role("button", name="Retry job Theirs").click()
    expect(row.get_by_role("button", name="Cancel job Theirs")).to_be_visible()
    assert token not in page.content()
    assert not [answer for answer in answers if "cookie" in answer.request.all_headers()]


def test_through_the_front_gate(page: Page, demo: User, token: str, settings: Any, browser_errors: list[str]) -> None:
    """The server as it runs, which answers preflights before they reach Django."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    start_job(demo)
    origins: list[str] = []
    with (
        serving(FrontGate(application, ROUTES, THREADS, origins)) as port,
        HostSite(f"http://127.0.0.1:{port}") as host,
    ):
        origins.append(host.url)
        settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": origins})
        show(page, host, f"http://127.0.0.1:{port}", token)
        page.locator(f"{PANEL} li").get_by_role("button", name="Cancel job Theirs").click()
        expect(page.locator(f"{PANEL} li")).to_contain_text("cancelled")
        page.goto("about:blank")


def test_it_asks_with_the_tag_and_is_silent_while_hidden(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    start_job(demo)
    answers = heard(page)
    show(page, host, live_server.url, token, f"<{PANEL} compact></{PANEL}>")
    expect(page.locator(f"{PANEL} li")).to_contain_text("Theirs")
    with page.expect_response(lambda answer: "/api/jobs" in answer.url and answer.status == 304):
        poll_now(page)
    hide(page, "true")
    page.wait_for_timeout(1000)  # what was on its way arrives
    before = len(answers)
    page.wait_for_timeout(3500)
    assert len(answers) == before
    with page.expect_response(lambda answer: "/api/jobs" in answer.url):
        hide(page, "false")


def test_compact_is_empty_without_unfinished_jobs(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    job = start_job(demo)
    show(page, host, live_server.url, token, f"<{PANEL} compact></{PANEL}>")
    expect(page.locator(f"{PANEL} section")).to_be_visible()
    complete_all(job)
    expect(page.locator(f"{PANEL} section")).to_be_hidden()
    expect(page.locator(PANEL).get_by_role("status")).to_have_text("No unfinished jobs")


def test_without_compact_finished_jobs_stay(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    show(page, host, live_server.url, token)
    expect(page.locator(PANEL)).to_contain_text("No jobs yet")
    complete_all(start_job(demo))
    poll_now(page)
    expect(page.locator(f"{PANEL} li")).to_contain_text("completed")


def test_a_server_that_is_gone_and_back(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str
) -> None:
    start_job(demo)
    show(page, host, live_server.url, token)
    expect(page.locator(f"{PANEL} li")).to_be_visible()
    page.route("**/api/jobs*", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        poll_now(page)
    with page.expect_event("requestfailed"):
        poll_now(page)
    notice = page.locator(f"{PANEL} .notice")
    expect(notice).to_contain_text("cannot be reached")
    expect(notice).to_contain_text(host.url)
    expect(page.locator(f"{PANEL} li")).to_be_visible()  # what was known stays
    page.unroute("**/api/jobs*")
    poll_now(page)
    expect(notice).to_be_hidden()


def test_a_slow_server_is_asked_less_often(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str
) -> None:
    start_job(demo)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "/api/jobs" in request.url else None)
    page.add_init_script(SLOW_FETCH)
    show(page, host, live_server.url, token, f"<{PANEL} compact></{PANEL}>")
    expect(page.locator(f"{PANEL} li")).to_be_visible()
    before = len(asked)
    page.wait_for_timeout(3500)  # more than the interval, and less than three times the answer
    assert len(asked) == before


def test_text_is_never_markup(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    job = start_job(demo, HOSTILE)
    (step,) = claim(job.pk)
    WorkflowStep.objects.filter(pk=step.step_id).update(message=HOSTILE)
    show(page, host, live_server.url, token)
    expect(page.locator(f"{PANEL} .name")).to_have_text(HOSTILE)
    expect(page.locator(f"{PANEL} .message")).to_contain_text("onerror")
    assert page.locator(f"{PANEL} img, {PANEL} script").count() == 0
    expect(page).to_have_title("Theirs")


def test_a_token_that_is_refused(page: Page, live_server: LiveServer, demo: User, host: HostSite) -> None:
    show(page, host, live_server.url, "nonsense")
    expect(page.locator(f"{PANEL} .notice")).to_contain_text("The API token is unknown or was revoked.")
    answers = heard(page)
    page.wait_for_timeout(3000)
    assert answers == []
    secret = ApiToken.issue(demo)[1]
    page.evaluate(f"document.querySelector('{PANEL}').token = async () => '{secret}'")
    expect(page.locator(f"{PANEL} .empty")).to_have_text("No jobs yet.")


def test_a_button_that_is_refused(page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str) -> None:
    """The panel says why. Here the job was finished in the meantime."""
    job = start_job(demo)
    show(page, host, live_server.url, token)
    button = page.locator(PANEL).get_by_role("button", name="Cancel job Theirs")
    expect(button).to_be_visible()
    hide(page, "true")
    complete_all(job)
    button.click()
    expect(page.locator(f"{PANEL} .notice")).to_contain_text("finished already")


def test_an_origin_that_is_not_allowed(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, settings: Any
) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"cors_origins": []})
    start_job(demo)
    show(page, host, live_server.url, token)
    with page.expect_event("requestfailed"):
        poll_now(page)
    poll_now(page)
    expect(page.locator(f"{PANEL} .notice")).to_contain_text("CORS_ORIGINS")
    assert page.locator(f"{PANEL} li").count() == 0


def test_a_token_in_the_attribute_does_not_stay_there(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    """And the script works without `type=module`."""
    start_job(demo)
    write(host, live_server.url, f'<{PANEL} token="{token}"></{PANEL}>', kind="text/javascript")
    page.goto(f"{host.url}/")
    expect(page.locator(f"{PANEL} li")).to_contain_text("Theirs")
    assert token not in page.content()
    assert page.evaluate(f"document.querySelector('{PANEL}').token") is None


def test_without_a_token_it_says_what_is_missing(page: Page, live_server: LiveServer, host: HostSite) -> None:
    write(host, live_server.url, f"<{PANEL}></{PANEL}>")
    page.goto(f"{host.url}/")
    expect(page.locator(f"{PANEL} .notice")).to_contain_text("Waiting for an API token")


def test_a_wrong_address(page: Page, live_server: LiveServer, host: HostSite, token: str) -> None:
    show(page, host, live_server.url, token, f'<{PANEL} base-url="javascript:alert(1)"></{PANEL}>')
    expect(page.locator(f"{PANEL} .notice")).to_contain_text("baseUrl must be an address")


def test_a_page_of_our_own_origin_uses_the_session(
    signed_in: Page, live_server: LiveServer, demo: User, browser_errors: list[str]
) -> None:
    start_job(demo)
    signed_in.goto(f"{live_server.url}/search")
    signed_in.add_script_tag(url="/embed/background-jobs-panel.js")
    signed_in.evaluate(f"document.querySelector('main').append(document.createElement('{PANEL}'))")
    row = signed_in.locator(f"{PANEL} li")
    row.get_by_role("button", name="Cancel job Theirs").click()
    expect(row).to_contain_text("cancelled")


def test_the_example_of_the_documentation(
    page: Page, live_server: LiveServer, demo: User, host: HostSite, token: str, browser_errors: list[str]
) -> None:
    """As written, but for the address and the token."""
    start_job(demo)
    text = (BASE_DIR / "docs" / "embedding.md").read_text().replace("https://jobs.example.com", live_server.url)
    markup, script = re.findall(r"```(?:html|js)\n(.*?)```", text, re.DOTALL)[:2]
    host.pages["/index.html"], host.pages["/panel.js"] = markup.encode(), script.replace("aiw_…", token).encode()
    page.goto(f"{host.url}/")
    expect(page.locator(f"{PANEL} li")).to_contain_text("Theirs")


def frame_of(page: Page, site: str) -> Frame:
    page.wait_for_function("document.querySelector('background-jobs-panel')?.shadowRoot.querySelector('iframe')")
    frame = next(frame for frame in page.frames if frame.url.startswith(site))
    return frame


class TestTheFrame:
    def test_a_page_of_the_same_site_has_the_session(
        self, signed_in: Page, live_server: LiveServer, demo: User, host: HostSite
    ) -> None:
        page = signed_in
        start_job(demo)
        write(host, live_server.url, f'<{PANEL} session theme="dark"></{PANEL}>')
        page.goto(f"{host.same_site}/")
        frame = page.frame_locator("iframe")
        expect(frame.locator(".jobs-panel")).to_contain_text("Theirs")
        expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
        frame.get_by_role("button", name="Cancel job Theirs").click()
        expect(frame.locator(".jobs-panel")).to_contain_text("cancelled")
        height = page.locator("iframe").evaluate("frame => frame.clientHeight")
        assert height >= frame.locator("main").evaluate("main => main.scrollHeight")

    def test_a_link_leads_out_of_the_frame(
        self, signed_in: Page, live_server: LiveServer, demo: User, host: HostSite
    ) -> None:
        job = start_job(demo)
        write(host, live_server.url, f"<{PANEL} session compact></{PANEL}>")
        signed_in.goto(f"{host.same_site}/")
        with signed_in.expect_popup() as popup:
            signed_in.frame_locator("iframe").get_by_role("link", name="Theirs").click()
        expect(popup.value.locator("h1")).to_have_text("Theirs")
        assert popup.value.url == f"{live_server.url}/jobs/{job.pk}"

    def test_another_site_has_no_session(
        self, signed_in: Page, live_server: LiveServer, demo: User, host: HostSite
    ) -> None:
        start_job(demo)
        write(host, live_server.url, f"<{PANEL} session></{PANEL}>")
        signed_in.goto(f"{host.url}/")
        frame = signed_in.frame_locator("iframe")
        expect(frame.get_by_role("link", name="Sign in")).to_be_visible()
        assert "Theirs" not in frame.locator("main").inner_text()

    def test_a_user_signs_in_in_another_tab(
        self, page: Page, live_server: LiveServer, demo: User, host: HostSite, browser_errors: list[str]
    ) -> None:
        start_job(demo)
        write(host, live_server.url, f"<{PANEL} session></{PANEL}>")
        page.goto(f"{host.same_site}/")
        expect(page.frame_locator("iframe").get_by_role("link", name="Sign in")).to_be_visible()
        other = page.context.new_page()
        sign_in(other, live_server.url)
        other.close()
        frame = frame_of(page, live_server.url)
        frame.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.frame_locator("iframe").locator(".jobs-panel")).to_contain_text("Theirs")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(
    browser: Browser, live_server: LiveServer, demo: User, host: HostSite, token: str, scheme: str, width: int
) -> None:
    complete_all(start_job(demo, "Done"))
    claim(start_job(demo, "Aworkflowwithalongnamewithoutanyblanksatallinit" * 2).pk)
    element = f'<{PANEL} theme="{scheme}"></{PANEL}>'
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        show(page, host, live_server.url, token, element)
        expect(page.locator(f"{PANEL} li")).to_have_count(2)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        page.goto(f"{live_server.url}/jobs/embed?theme={scheme}")
        assert Axe().run(page).violations_count == 0
        sign_in(page, live_server.url)
        for address in ("/jobs/embed", "/jobs/embed?compact"):
            page.goto(f"{live_server.url}{address}{'&' if '?' in address else '?'}theme={scheme}")
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def refused_frames(page: Page) -> list[str]:
    found: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if "frame-ancestors" in message.text or "X-Frame-Options" in message.text:
            found.append(message.text)

    page.on("console", hear)
    return found


@pytest.mark.parametrize(
    "address", ["/", "/login", "/jobs/", "/jobs/new", "/documents/", "/settings/tokens", "/admin/", "/api/docs"]
)
def test_no_other_page_can_be_framed(page: Page, live_server: LiveServer, host: HostSite, address: str) -> None:
    refused = refused_frames(page)
    write(host, live_server.url, f'<iframe src="{live_server.url}{address}"></iframe>')
    page.goto(f"{host.same_site}/")
    page.wait_for_load_state("networkidle")
    assert refused


def test_a_stranger_cannot_frame_the_panel(page: Page, live_server: LiveServer, host: HostSite, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"embed_origins": ["https://app.example.com"]})
    refused = refused_frames(page)
    write(host, live_server.url, f'<iframe src="{live_server.url}/jobs/embed"></iframe>')
    page.goto(f"{host.same_site}/")
    page.wait_for_load_state("networkidle")
    assert refused
