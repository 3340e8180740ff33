"""/api/webhooks"""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.runner import work
from tests.webhooks.conftest import Endpoint, delivery_jobs, hook, in_transactions, send_all
from webhooks.models import OWN_TYPES, Webhook

JSON = "application/json"
URL = "https://example.com/hook"


def post(client: Client, address: str = "/api/webhooks", **body: Any) -> Any:
    return client.post(address, body, JSON)


def errors(response: Any) -> dict[str, str]:
    return {error["attr"]: error["code"] for error in response.json()["errors"]}


def test_it_works(as_alice: Client, alice: User) -> None:
    response = post(as_alice, url=URL, types=["job.failed"], projectId="p", tag="t")
    assert response.status_code == 201
    made = response.json()
    assert made["secret"].startswith("whsec_")
    (listed,) = as_alice.get("/api/webhooks").json()["webhooks"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    expected = {"owner": "alice", "url": URL, "types": ["job.failed"], "projectId": "p", "tag": "t", "isPaused": False}
    assert listed.items() >= expected.items()
    event = AuditEvent.objects.get(action="webhook.created")
    assert (event.actor, event.object) == ("alice", f"webhook:{made['webhookId']}")
    assert made["secret"] not in str(event.changes)


def test_defaults(as_alice: Client) -> None:
    made = post(as_alice, url=URL).json()
    assert (made["types"], made["projectId"], made["tag"]) == (list(OWN_TYPES), None, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"url": "required"}),
        ({"url": "ftp://example.com"}, {"url": "invalid"}),
        ({"url": "https://user:pass@example.com"}, {"url": "invalid"}),
        ({"url": "example.com"}, {"url": "invalid"}),
        ({"url": "https://example.com/" + "x" * 2000}, {"url": "max_length"}),
        ({"url": "http://127.0.0.1/"}, {"url": "address_not_allowed"}),
        ({"url": "http://[::1]:80/"}, {"url": "address_not_allowed"}),
        ({"url": "http://169.254.169.254/"}, {"url": "address_not_allowed"}),
        ({"url": "http://localhost./"}, {"url": "address_not_allowed"}),
        ({"url": URL, "types": []}, {"types": "min_length"}),
        ({"url": URL, "types": ["job.done"]}, {"types.0": "invalid_choice"}),
        ({"url": URL, "tag": "x" * 101}, {"tag": "max_length"}),
        ({"url": URL, "isPaused": "yes"}, {"isPaused": "invalid"}),
        ({"url": URL, "secret": "whsec_x"}, {"secret": "unknown"}),
    ],
)
def test_wrong_fields(as_alice: Client, body: dict[str, Any], expected: dict[str, str]) -> None:
    response = post(as_alice, **body)
    assert response.status_code == 400
    assert errors(response) == expected
    assert not Webhook.objects.exists()


def test_an_allowed_private_address(as_alice: Client, endpoint: Endpoint) -> None:
    assert post(as_alice, url=endpoint.url).status_code == 201


def test_change(as_alice: Client, alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint, project_id="p")
    address = f"/api/webhooks/{webhook.pk}"
    changed = as_alice.patch(address, {"isPaused": True, "types": ["job.failed"], "projectId": None}, JSON).json()
    assert (changed["isPaused"], changed["types"], changed["projectId"]) == (True, ["job.failed"], None)
    assert "secret" not in changed
    event = AuditEvent.objects.get(action="webhook.changed")
    assert event.changes["isPaused"] == {"from": False, "to": True}
    assert as_alice.patch(address, {"url": "http://10.0.0.1/"}, JSON).status_code == 400
    assert as_alice.patch(address, {}, JSON).status_code == 200
    assert AuditEvent.objects.filter(action="webhook.changed").count() == 1


def test_delete(as_alice: Client, alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    assert as_alice.delete(f"/api/webhooks/{webhook.pk}").status_code == 204
    assert as_alice.get(f"/api/webhooks/{webhook.pk}").status_code == 404
    assert AuditEvent.objects.filter(action="webhook.deleted").exists()


def test_rotate_secret(as_alice: Client, alice: User) -> None:
    made = post(as_alice, url=URL).json()
    rotated = post(as_alice, f"/api/webhooks/{made['webhookId']}/rotate-secret").json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]


def test_a_body_that_is_not_json_is_not_ignored(as_alice: Client, alice: User, endpoint: Endpoint) -> None:
    address = f"/api/webhooks/{hook(alice, endpoint).pk}/rotate-secret"
    assert as_alice.post(address, {"a": "1"}).status_code == 415
    assert errors(post(as_alice, address, a=1)) == {"a": "unknown"}
    assert as_alice.post(address).status_code == 200


def test_pages(as_alice: Client, alice: User, endpoint: Endpoint) -> None:
    made = [str(hook(alice, endpoint).pk) for _ in range(3)]
    first = as_alice.get("/api/webhooks?limit=2").json()
    second = as_alice.get(f"/api/webhooks?limit=2&cursor={first['nextCursor']}").json()
    assert [each["webhookId"] for each in first["webhooks"] + second["webhooks"]] == made[::-1]
    response = as_alice.get("/api/webhooks")
    assert as_alice.get("/api/webhooks", headers={"if-none-match": response["ETag"]}).status_code == 304


def test_other_users(alice: User, as_bob: Client, as_charlie: Client, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    assert as_bob.get("/api/webhooks").json()["webhooks"] == []
    assert as_charlie.get("/api/webhooks").json()["webhooks"] == []
    assert len(as_charlie.get("/api/webhooks?owner=all").json()["webhooks"]) == 1
    assert as_bob.get(f"/api/webhooks/{webhook.pk}").status_code == 404
    for action in ("test", "rotate-secret"):
        assert post(as_bob, f"/api/webhooks/{webhook.pk}/{action}").status_code == 404
    assert as_bob.delete(f"/api/webhooks/{webhook.pk}").status_code == 404
    assert AuditEvent.objects.filter(action="request.refused", actor="bob").count() == 4


def test_there_is_a_limit(as_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.manage.MAX_WEBHOOKS", 1)
    assert post(as_alice, url=URL).status_code == 201
    response = post(as_alice, url=URL)
    assert response.status_code == 409
    assert errors(response) == {None: "too_many_webhooks"}


@in_transactions
def test_test_deliveries_and_resend(as_alice: Client, alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    address = f"/api/webhooks/{webhook.pk}"
    response = post(as_alice, f"{address}/test")
    assert response.status_code == 202
    sent = response.json()
    assert (sent["type"], sent["status"], sent["tries"]) == ("webhook.test", "pending", [])
    resend = f"{address}/deliveries/{sent['deliveryId']}/resend"
    assert post(as_alice, resend).status_code == 409, "it is on its way"
    send_all()
    (delivery,) = as_alice.get(f"{address}/deliveries").json()["deliveries"]
    assert delivery["status"] == "delivered"
    assert delivery["messageId"] == endpoint.requests[0]["headers"]["webhook-id"]
    (only,) = delivery["tries"]
    assert (only["statusCode"], only["response"], only["error"]) == (200, "thanks", None)
    assert post(as_alice, resend).json()["status"] == "pending"
    work(*delivery_jobs())
    assert len(endpoint.requests) == 2
    assert post(as_alice, f"{address}/deliveries/nothing/resend").status_code == 404
