"""Scopes of API tokens: what each may do, and that each address of the API names the scope that it needs."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from aiworkstation.access.models import ApiToken
from aiworkstation.access.scopes import HasScope
from aiworkstation.api_scopes import API_SCOPES, NOBODYS
from aiworkstation.audit.models import AuditEvent
from tests.support.documents import upload
from tests.support.jobs import BODY, start_job

JSON = "application/json"


def client_with(user: User, *scopes: str) -> Client:
    _, text = ApiToken.issue(user, scopes=list(scopes))
    return Client(headers={"authorization": f"Bearer {text}"})


def calls(client: Client, job: UUID, document: UUID) -> dict[str, Any]:
    """An answer for each scope."""
    return {
        "read": client.get(f"/api/jobs/{job}"),
        "run": client.post("/api/jobs", BODY, JSON),
        "documents": client.delete(f"/api/documents/{document}"),
    }


@pytest.mark.parametrize("scope", ["read", "run", "documents"])
def test_a_token_may_do_what_its_scope_says(alice: User, scope: str) -> None:
    job, document = start_job(alice), upload(alice)
    answers = calls(client_with(alice, scope), job.pk, document.uid)
    for needed, answer in answers.items():
        if needed == scope:
            assert answer.status_code in (200, 202, 204)
        else:
            assert answer.status_code == 403
            (error,) = answer.json()["errors"]
            assert (error["code"], error["attr"]) == ("insufficient_scope", None)
            assert f"the scope {needed}" in error["detail"]
            assert answer["WWW-Authenticate"] == f'Bearer realm="api", error="insufficient_scope", scope="{needed}"'


def test_a_head_request_needs_the_scope_of_its_get(alice: User) -> None:
    assert client_with(alice, "run").head("/api/jobs").status_code == 403
    assert client_with(alice, "read").head("/api/jobs").status_code == 200


def test_a_method_that_an_address_does_not_have_is_a_405(alice: User) -> None:
    assert client_with(alice, "documents").put("/api/jobs", {}, JSON).status_code == 405


def test_the_refusal_is_audited(alice: User) -> None:
    client_with(alice, "read").post("/api/jobs", BODY, JSON)
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.channel) == ("alice", "request.refused", "token")
    assert event.changes["status"] == 403


def test_a_session_has_every_scope(alice: User, at_alice: Client) -> None:
    job, document = start_job(alice), upload(alice)
    answers = calls(at_alice, job.pk, document.uid)
    assert [answer.status_code for answer in answers.values()] == [200, 202, 204]


class TestAdmin:
    def test_with_it_staff_reach_everything(self, alice: User, charlie: User) -> None:
        job = start_job(alice)
        client = client_with(charlie, "read", "admin")
        assert client.get(f"/api/jobs/{job.pk}").status_code == 200
        assert len(client.get("/api/jobs?owner=all").json()["jobs"]) == 1

    def test_without_it_staff_are_like_any_user(self, alice: User, charlie: User) -> None:
        job, document = start_job(alice), upload(alice)
        client = client_with(charlie, "read", "run", "documents")
        assert [answer.status_code for answer in calls(client, job.pk, document.uid).values()] == [404, 202, 404]
        assert client.get("/api/jobs?owner=charlie").status_code == 200
        for address in ("/api/jobs?owner=all", "/api/documents?owner=alice"):
            answer = client.get(address)
            assert answer.status_code == 403
            assert "the scope admin" in answer.json()["errors"][0]["detail"]

    def test_it_gives_nothing_to_a_user_who_is_no_longer_staff(self, alice: User, charlie: User) -> None:
        job = start_job(alice)
        client = client_with(charlie, "read", "admin")
        User.objects.filter(pk=charlie.pk).update(is_staff=False)
        assert client.get(f"/api/jobs/{job.pk}").status_code == 404


def test_an_address_that_is_not_listed_needs_every_scope(alice: User, settings: Any) -> None:
    settings.API_SCOPES = {}
    assert client_with(alice, "read", "run").get("/api/jobs").status_code == 403
    assert client_with(alice, "read", "run", "documents").get("/api/jobs").status_code == 200


ABOUT_THE_API = ("api/docs", "api/openapi.json")
"""Anybody may read these, without any credentials."""


def api_views() -> dict[str, Any]:
    """The view class of each address that takes API tokens."""
    found: dict[str, Any] = {}

    def walk(patterns: list[Any], prefix: str) -> None:
        for pattern in patterns:
            route = f"{prefix}{pattern.pattern}"
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, route)
            elif (
                isinstance(pattern, URLPattern)
                and route.lstrip("^").startswith(("api", "mcp"))
                and route not in ABOUT_THE_API
            ):
                found[route] = getattr(pattern.callback, "cls", None)

    walk(get_resolver().url_patterns, "")
    return found


def test_every_address_names_its_scopes() -> None:
    assert sorted(api_views()) == sorted(API_SCOPES)


@pytest.mark.parametrize("route", sorted(API_SCOPES))
def test_the_scopes_are_those_of_the_methods(route: str) -> None:
    view = api_views()[route]
    scopes = API_SCOPES[route]
    if scopes is NOBODYS:
        assert HasScope not in view.permission_classes
        return
    assert HasScope in view.permission_classes
    assert set(scopes) == {method.upper() for method in view.http_method_names} - {"HEAD", "OPTIONS"}
    assert all(set(each.split()) <= {"read", "run", "documents"} for each in scopes.values())
