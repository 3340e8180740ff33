"""Who may call what: every address of the site, with each kind of caller.

A new address without a row fails `test_every_address_has_a_row`. Add one for each of its methods: the statuses for
nobody, a stranger, the owner, staff without permissions, staff with every permission, a superuser, and the owner's API
token. Each call starts from the same rows, because what it changes is rolled back.
"""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from aiworkstation.access.models import ApiToken
from jobs.models import SavedView
from jobs.saved_workflows import save_workflow
from jobs.schedules import create_schedule
from mail.links import Invitation, key_of
from tests.support.documents import index, upload
from tests.support.jobs import BODY, WORKER, claim, fail, start_job
from tests.support.turns import turn
from tests.support.users import client_of, make_user
from webhooks import manage
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.models import WorkflowStep

ROLES = ("nobody", "stranger", "owner", "staff", "permitted", "superuser", "token")

API = "401 200 200 200 200 200 200"
OWNED_API = "401 404 200 200 200 200 200"
OWNED_ACCEPTED = "401 404 202 202 202 202 202"
EVERYBODY = "200 200 200 200 200 200 200"
PAGE = "302 200 200 200 200 200 302"
STAFF_PAGE = "302 404 404 200 200 200 302"
OWNED_PAGE = "302 404 200 200 200 200 302"
FORM = "302 302 302 302 302 302 302"
OWNED_FORM = "302 404 302 302 302 302 302"
FORM_ONLY = "302 405 405 405 405 405 302"
API_FORM_ONLY = "401 405 405 405 405 405 405"
SIGNED = "401 401 401 401 401 401 401"
"""At these addresses, a signature counts, not a user's credentials."""

Row = tuple[str, str, str]


def reads(path: str, statuses: str) -> list[Row]:
    return [("GET", path, statuses)]


def owned_reads(path: str) -> list[Row]:
    return [("GET", path, OWNED_API), ("POST", path, API_FORM_ONLY)]


ASKED = "/api/jobs/{asked}/steps/{question}"
JOB, STEP = "/api/jobs/{failed}", "/api/jobs/{failed}/steps/{step}"
HOOK = "/api/webhooks/{webhook}"
ROWS: dict[str, list[Row]] = {
    "": reads("/", "200 302 302 302 302 302 200"),
    "favicon.ico": reads("/favicon.ico", "302 302 302 302 302 302 302"),
    "login": reads("/login", "200 302 302 302 302 302 200"),
    "logout": [("POST", "/logout", "302 302 302 302 302 302 302"), ("GET", "/logout", "405 405 405 405 405 405 405")],
    "settings/theme": [
        ("POST", "/settings/theme", "302 302 302 302 302 302 302"),
        ("GET", "/settings/theme", "405 405 405 405 405 405 405"),
    ],
    "settings/password": [
        *reads("/settings/password", PAGE),
        ("POST", "/settings/password", "302 400 400 400 400 400 302"),
    ],
    "settings/tokens": [*reads("/settings/tokens", PAGE), ("POST", "/settings/tokens", PAGE)],
    "settings/tokens/<int:id>/revoke": [
        ("POST", "/settings/tokens/{token}/revoke", FORM),
        ("GET", "/settings/tokens/{token}/revoke", FORM_ONLY),
    ],
    "health/live": reads("/health/live", EVERYBODY),
    "health/ready": reads("/health/ready", "503 503 503 503 503 503 503"),  # nothing runs steps here
    "mcp": [  # API tokens only: a session is no credential there
        ("POST", "/mcp", "401 401 401 401 401 401 415"),
        ("GET", "/mcp", "401 401 401 401 401 401 405"),
    ],
    "metrics": reads("/metrics", EVERYBODY),  # everybody on this machine: see tests/workflows/monitoring
    "search": reads("/search?q=hello", PAGE),
    "documents/": reads("/documents/", PAGE),
    "documents/<str:id>": reads("/documents/{document}", OWNED_PAGE),
    "documents/<str:id>/file": reads("/documents/{pdf}/file", OWNED_PAGE),
    "documents/<str:id>/preview": reads("/documents/{document}/preview?chunkSize=100&overlap=10", OWNED_PAGE),
    "documents/delete": [("POST", "/documents/delete", FORM), ("GET", "/documents/delete", FORM_ONLY)],
    "documents/upload": [("POST", "/documents/upload", FORM), ("GET", "/documents/upload", FORM_ONLY)],
    "dashboard": reads("/dashboard", PAGE),
    "failures": [*reads("/failures", PAGE), ("POST", "/failures", FORM)],
    "workers": [*reads("/workers", STAFF_PAGE), ("POST", "/workers", "302 404 404 302 302 302 302")],
    "jobs/": reads("/jobs/", PAGE),
    "embed/background-jobs-panel.js": reads("/embed/background-jobs-panel.js", EVERYBODY),
    "jobs/embed": reads("/jobs/embed", EVERYBODY),  # nobody: a link to the sign-in page, which cannot be framed
    "jobs/panel": reads("/jobs/panel", PAGE),
    "jobs/bulk": [("POST", "/jobs/bulk", FORM), ("GET", "/jobs/bulk", FORM_ONLY)],
    "jobs/views": [
        ("POST", "/jobs/views", FORM),
        ("GET", "/jobs/views", FORM_ONLY),
    ],
    "jobs/views/<uuid:id>/delete": [
        ("POST", "/jobs/views/{view}/delete", OWNED_FORM),
        ("GET", "/jobs/views/{view}/delete", FORM_ONLY),
    ],
    "jobs/suggestions/<str:field>": reads("/jobs/suggestions/project", PAGE),
    "jobs/new": [*reads("/jobs/new", PAGE), ("POST", "/jobs/new", "302 400 400 400 400 400 302")],
    "jobs/new/ingest": [("POST", "/jobs/new/ingest", FORM), ("GET", "/jobs/new/ingest", FORM_ONLY)],
    "jobs/new/upload": [("POST", "/jobs/new/upload", FORM), ("GET", "/jobs/new/upload", FORM_ONLY)],
    "jobs/<uuid:id>": reads("/jobs/{failed}", OWNED_PAGE),
    "jobs/<uuid:id>/cancel": [
        ("POST", "/jobs/{queued}/cancel", OWNED_FORM),
        ("GET", "/jobs/{queued}/cancel", FORM_ONLY),
    ],
    "jobs/<uuid:id>/retry": [("POST", "/jobs/{failed}/retry", OWNED_FORM), ("GET", "/jobs/{failed}/retry", FORM_ONLY)],
    "jobs/<uuid:id>/rerun": [
        *reads("/jobs/{failed}/rerun", OWNED_PAGE),
        ("POST", "/jobs/{failed}/rerun", OWNED_FORM),
    ],
    "jobs/<uuid:id>/delete": [
        ("POST", "/jobs/{failed}/delete", OWNED_FORM),
        ("GET", "/jobs/{failed}/delete", FORM_ONLY),
    ],
    "jobs/<uuid:id>/steps/<int:index>/retry": [
        ("POST", "/jobs/{failed}/steps/0/retry", OWNED_FORM),
        ("GET", "/jobs/{failed}/steps/0/retry", FORM_ONLY),
    ],
    "jobs/<uuid:id>/save": [
        *reads("/jobs/{failed}/save", OWNED_PAGE),
        ("POST", "/jobs/{failed}/save", "302 404 400 400 400 400 302"),
    ],
    "workflows": [*reads("/workflows", PAGE), ("POST", "/workflows", FORM_ONLY)],
    "workflows/<uuid:id>": [
        *reads("/workflows/{report}", OWNED_PAGE),
        *reads("/workflows/{shared}", PAGE),
        ("POST", "/workflows/{report}", OWNED_FORM),
        ("POST", "/workflows/{shared}", FORM),
    ],
    "schedules/<uuid:id>": [
        ("POST", "/schedules/{schedule}", OWNED_FORM),
        ("GET", "/schedules/{schedule}", FORM_ONLY),
    ],
    "jobs/<uuid:id>/events": reads("/jobs/{failed}/events", OWNED_PAGE),
    "jobs/<uuid:id>/failures.csv": reads("/jobs/{failed}/failures.csv", OWNED_PAGE),
    "jobs/<uuid:id>/steps/<int:index>": reads("/jobs/{failed}/steps/0", OWNED_PAGE),
    "jobs/approvals": reads("/jobs/approvals", PAGE),
    "jobs/<uuid:id>/steps/<uuid:step_id>/approve": [
        ("POST", "/jobs/{asked}/steps/{question}/approve", OWNED_FORM),
        ("GET", "/jobs/{asked}/steps/{question}/approve", FORM_ONLY),
    ],
    "jobs/<uuid:id>/steps/<uuid:step_id>/reject": [
        ("POST", "/jobs/{asked}/steps/{question}/reject", OWNED_FORM),
        ("GET", "/jobs/{asked}/steps/{question}/reject", FORM_ONLY),
    ],
    "answer": [
        *reads("/answer?key={key}", EVERYBODY),  # the key counts, whoever has it
        *reads("/answer?key=wrong", "404 404 404 404 404 404 404"),
        ("POST", "/answer", "404 404 404 404 404 404 404"),
    ],
    "api/openapi.json": reads("/api/openapi.json", EVERYBODY),
    "api/docs": reads("/api/docs", EVERYBODY),
    "webhooks": [*reads("/webhooks", PAGE), ("POST", "/webhooks", "302 400 400 400 400 400 302")],
    "webhooks/<str:id>": [
        *reads("/webhooks/{webhook}", OWNED_PAGE),
        ("POST", "/webhooks/{webhook}", OWNED_PAGE),
    ],
    "webhooks/<str:id>/<str:action>": [
        *(("POST", f"/webhooks/{{webhook}}/{action}", OWNED_FORM) for action in ("test", "pause", "resume", "delete")),
        ("GET", "/webhooks/{webhook}/test", FORM_ONLY),
    ],
    "webhooks/<str:id>/deliveries/<str:delivery_id>/resend": [
        ("POST", "/webhooks/{webhook}/deliveries/{delivery}/resend", OWNED_FORM),
        ("GET", "/webhooks/{webhook}/deliveries/{delivery}/resend", FORM_ONLY),
    ],
    "api/webhooks": [*reads("/api/webhooks", API), ("POST", "/api/webhooks", "401 400 400 400 400 400 400")],
    "api/webhooks/<str:id>": [
        *reads(HOOK, OWNED_API),
        ("DELETE", HOOK, "401 404 204 204 204 204 204"),
        ("PATCH", HOOK, OWNED_API),
    ],
    "api/webhooks/<str:id>/test": [("POST", f"{HOOK}/test", OWNED_ACCEPTED), ("GET", f"{HOOK}/test", API_FORM_ONLY)],
    "api/webhooks/<str:id>/rotate-secret": [
        ("POST", f"{HOOK}/rotate-secret", OWNED_API),
        ("GET", f"{HOOK}/rotate-secret", API_FORM_ONLY),
    ],
    "api/webhooks/<str:id>/deliveries": owned_reads(f"{HOOK}/deliveries"),
    "api/webhooks/<str:id>/deliveries/<str:delivery_id>/resend": [
        ("POST", f"{HOOK}/deliveries/{{delivery}}/resend", OWNED_ACCEPTED),
        ("GET", f"{HOOK}/deliveries/{{delivery}}/resend", API_FORM_ONLY),
    ],
    "^api(?:/.*)?$": reads("/api/nothing", "404 404 404 404 404 404 404"),
    "api/documents": [*reads("/api/documents", API), ("POST", "/api/documents", "401 400 400 400 400 400 400")],
    "api/documents/<str:id>": [
        *reads("/api/documents/{document}", OWNED_API),
        ("DELETE", "/api/documents/{document}", "401 404 204 204 204 204 204"),
    ],
    "api/documents/<str:id>/chunks": owned_reads("/api/documents/{document}/chunks"),
    "api/documents/<str:id>/file": owned_reads("/api/documents/{document}/file"),
    "api/documents/<str:id>/preview": owned_reads("/api/documents/{document}/preview?chunkSize=100&overlap=10"),
    "api/documents/<str:id>/text": owned_reads("/api/documents/{document}/text"),
    "api/search": reads("/api/search?q=hello", API),
    "api/metrics/jobs": reads("/api/metrics/jobs", API),
    "api/metrics/dashboard": reads("/api/metrics/dashboard", API),
    "api/modes": reads("/api/modes", API),
    "api/tools": reads("/api/tools", API),
    "api/jobs": [*reads("/api/jobs", API), ("POST", "/api/jobs", "401 202 202 202 202 202 202")],
    "api/jobs/bulk": [
        ("POST", "/api/jobs/bulk", "401 400 400 400 400 400 400"),
        ("GET", "/api/jobs/bulk", API_FORM_ONLY),
    ],
    "api/jobs/<str:job_id>": [*reads(JOB, OWNED_API), ("DELETE", JOB, "401 404 204 204 204 204 204")],
    "api/jobs/<str:job_id>/cancel": [
        ("POST", "/api/jobs/{queued}/cancel", OWNED_ACCEPTED),
        ("GET", "/api/jobs/{queued}/cancel", API_FORM_ONLY),
    ],
    "api/jobs/<str:job_id>/retry": [("POST", f"{JOB}/retry", OWNED_ACCEPTED), ("GET", f"{JOB}/retry", API_FORM_ONLY)],
    "api/jobs/<str:job_id>/rerun": [("POST", f"{JOB}/rerun", OWNED_ACCEPTED), ("GET", f"{JOB}/rerun", API_FORM_ONLY)],
    "api/jobs/<str:job_id>/events": owned_reads(f"{JOB}/events"),
    "api/jobs/<str:job_id>/failures.csv": owned_reads(f"{JOB}/failures.csv"),
    "api/jobs/<str:job_id>/output": owned_reads(f"{JOB}/output"),
    "api/jobs/<str:job_id>/payload": owned_reads(f"{JOB}/payload"),
    "api/jobs/<str:job_id>/steps": owned_reads(f"{JOB}/steps"),
    "api/jobs/<str:job_id>/steps/<str:step_id>": owned_reads(STEP),
    "api/jobs/<str:job_id>/steps/<str:step_id>/arguments": owned_reads(f"{STEP}/arguments"),
    "api/jobs/<str:job_id>/steps/<str:step_id>/output": owned_reads(f"{STEP}/output"),
    "api/jobs/<str:job_id>/steps/<str:step_id>/retry": [
        ("POST", f"{STEP}/retry", OWNED_ACCEPTED),
        ("GET", f"{STEP}/retry", API_FORM_ONLY),
    ],
    "api/jobs/<str:job_id>/steps/<str:step_id>/approve": [
        ("POST", f"{ASKED}/approve", OWNED_ACCEPTED),
        ("GET", f"{ASKED}/approve", API_FORM_ONLY),
    ],
    "api/jobs/<str:job_id>/steps/<str:step_id>/reject": [
        ("POST", f"{ASKED}/reject", OWNED_ACCEPTED),
        ("GET", f"{ASKED}/reject", API_FORM_ONLY),
    ],
    "api/workflows": [*reads("/api/workflows", API), ("POST", "/api/workflows", "401 201 201 201 201 201 201")],
    "api/workflows/<str:name>": [
        *reads("/api/workflows/report", OWNED_API),
        *reads("/api/workflows/shared", API),
        ("PUT", "/api/workflows/report", OWNED_API),
        ("PUT", "/api/workflows/shared", OWNED_API),
        ("DELETE", "/api/workflows/report", "401 404 204 204 204 204 204"),
        ("DELETE", "/api/workflows/shared", "401 404 204 204 204 204 204"),
        ("POST", "/api/workflows/report", API_FORM_ONLY),
    ],
    "api/workflows/<str:name>/versions": [
        *owned_reads("/api/workflows/report/versions"),
        *reads("/api/workflows/shared/versions", API),
    ],
    "api/workflows/<str:name>/runs": [
        ("POST", "/api/workflows/report/runs", OWNED_ACCEPTED),
        ("POST", "/api/workflows/shared/runs", "401 202 202 202 202 202 202"),
        ("GET", "/api/workflows/report/runs", API_FORM_ONLY),
    ],
    "api/schedules": [*reads("/api/schedules", API), ("POST", "/api/schedules", "401 400 201 201 201 201 201")],
    "api/schedules/<str:schedule_id>": [
        *reads("/api/schedules/{schedule}", OWNED_API),
        ("PATCH", "/api/schedules/{schedule}", OWNED_API),
        ("DELETE", "/api/schedules/{schedule}", "401 404 204 204 204 204 204"),
        ("POST", "/api/schedules/{schedule}", API_FORM_ONLY),
    ],
    "api/schedules/<str:schedule_id>/run": [
        ("POST", "/api/schedules/{schedule}/run", OWNED_ACCEPTED),
        ("GET", "/api/schedules/{schedule}/run", API_FORM_ONLY),
    ],
    "api/workflow/update-execution": [("POST", "/api/workflow/update-execution", SIGNED)],
    "api/workflow/update-step": [("POST", "/api/workflow/update-step", SIGNED)],
}
APPROVAL = {
    "workflowName": "Ask",
    "steps": [{"name": "Ask", "tool": "APPROVAL", "arguments": {"question": "Go on?"}}],
}
BODIES: dict[str, Any] = {
    "/api/jobs": BODY,
    "/api/workflows": {"name": "another", "payload": BODY["payload"]},
    "/api/workflows/report": {"isShared": True},
    "/api/workflows/shared": {"isShared": False},
    "/api/schedules": {"workflow": "report", "everySeconds": 3600},
}

ADMIN_MODELS = {
    "alerts.alert": "view",
    "alerts.alertrule": "view add change delete",
    "access.apitoken": "view delete",
    "audit.auditevent": "view",
    "auth.group": "view add change delete",
    "auth.user": "view add change delete",
    "django_q.failure": "view",
    "django_q.ormq": "view",
    "django_q.schedule": "view",
    "django_q.success": "view",
    "documents.document": "view",
    "mail.mail": "view",
    "workflows.mode": "view add change delete",
    "workflows.outsideworker": "view add change delete",
    "workflows.secretgrant": "view add change delete",
    "workflows.worker": "view",
    "workflows.workflowexecution": "view",
}
"""What staff with every permission may do with the rows of each model in the admin."""


@pytest.fixture
def world(alice: User, settings: Any) -> dict[str, Any]:
    """Alice's objects, by the names in the paths."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"callback_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    failed, queued = start_job(alice), start_job(alice)
    held = claim(failed.pk)[0]
    fail(held)
    asked = start_job(alice, payload=APPROVAL)
    question = claim(asked.pk)[0]
    engine.ask(question, "Go on?", "")
    turn(WORKER, [Outcome.asked(question, 3600)], [])
    report = save_workflow(alice, {"name": "report", "payload": BODY["payload"]})
    schedule = create_schedule(alice, report, {"every_seconds": 3600})
    shared = save_workflow(alice, {"name": "shared", "payload": BODY["payload"], "is_shared": True})
    token, _ = ApiToken.issue(alice)
    document = index(alice, upload(alice))
    webhook = manage.create(alice, {"url": "https://example.com/hook"})
    delivery = manage.send_test(alice, webhook)
    engine.cancel(delivery.execution_id, actor="alice")
    return {
        "failed": failed.pk,
        "queued": queued.pk,
        "asked": asked.pk,
        "question": question.step_id,
        "step": held.step_id,
        "token": token.pk,
        "schedule": schedule.pk,
        "view": SavedView.objects.create(owner=alice, name="Failed", filters={"status": "failed"}).pk,
        "report": report.pk,
        "shared": shared.pk,
        "document": document.uid,
        "webhook": webhook.pk,
        "delivery": delivery.pk,
        "key": key_of(Invitation(alice, WorkflowStep.objects.get(pk=question.step_id))),
        "pdf": upload(alice, b"%PDF-1.4", "one.pdf").uid,
    }


@pytest.fixture
def callers(alice: User, bob: User, charlie: User) -> dict[str, Client]:
    permitted = make_user("dora", is_staff=True)
    permitted.user_permissions.set(Permission.objects.all())
    root = make_user("root", is_staff=True)
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    users = {"stranger": bob, "owner": alice, "staff": charlie, "permitted": permitted, "superuser": root}
    clients = {role: Client() for role in users}
    for role, user in users.items():
        clients[role].force_login(user)
    return {"nobody": Client(), **clients, "token": client_of(alice)}


def ask(callers: dict[str, Client], method: str, path: str) -> str:
    """The statuses for all callers. What a call changes is rolled back."""
    found = []
    for role in ROLES:
        with transaction.atomic():
            client = callers[role]
            cookies = {name: cookie.value for name, cookie in client.cookies.items()}
            body = BODIES.get(path, {}) if path.startswith("/api/") and path != "/api/documents" else {}
            sends = method in ("POST", "PUT", "PATCH")
            options = {"content_type": "application/json"} if path.startswith("/api/") and sends else {}
            if path == "/api/documents":
                options = {}
            call = getattr(client, method.lower())
            found.append(str(call(path, body, **options).status_code if sends else call(path).status_code))
            transaction.set_rollback(True)
        client.cookies = SimpleCookie(cookies)  # restores a session that was ended
    return " ".join(found)


def walk(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


def routes() -> list[str]:
    return list(walk(get_resolver().url_patterns))


def test_every_address_has_a_row() -> None:
    found = {route for route in routes() if not route.startswith("admin/")}
    assert sorted(found - set(ROWS)) == []
    assert sorted(set(ROWS) - found) == []


def test_each_caller(world: dict[str, Any], callers: dict[str, Client]) -> None:
    """One test, because making the rows takes longer than the calls."""
    rows = [row for of_route in ROWS.values() for row in of_route]
    found = [(method, path, ask(callers, method, path.format(**world))) for method, path, _ in rows]
    assert found == rows


def test_every_model_in_the_admin_has_a_row() -> None:
    assert {model._meta.label_lower for model in admin.site._registry} == set(ADMIN_MODELS)


def test_the_admin(world: dict[str, Any], callers: dict[str, Client]) -> None:
    for label in ADMIN_MODELS:
        check_in_admin(callers, label)


def check_in_admin(callers: dict[str, Client], label: str) -> None:
    (model,) = (each for each in admin.site._registry if each._meta.label_lower == label)
    row = model._default_manager.first()
    address = f"/admin/{label.replace('.', '/')}"
    may = ADMIN_MODELS[label].split()
    assert ask(callers, "GET", f"{address}/") == in_admin(200)
    assert ask(callers, "GET", f"{address}/add/") == in_admin(200 if "add" in may else 403)
    if row is not None:
        assert ask(callers, "GET", f"{address}/{row.pk}/change/") == in_admin(200)
        assert ask(callers, "POST", f"{address}/{row.pk}/change/") == in_admin(200 if "change" in may else 403)
        assert ask(callers, "GET", f"{address}/{row.pk}/delete/") == in_admin(200 if "delete" in may else 403)
        assert ask(callers, "GET", f"{address}/{row.pk}/history/") == in_admin(200)


def in_admin(status: int) -> str:
    """Users who are not staff, and API tokens, are sent to the admin's sign-in page."""
    return f"302 302 302 403 {status} {status} 302"
