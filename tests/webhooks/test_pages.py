"""/webhooks"""

from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from tests.support.html import text
from tests.webhooks.conftest import Endpoint, hook, in_transactions, send_all
from webhooks.models import Delivery, Webhook

URL = "https://example.com/hook"


def test_it_works(at_alice: Client) -> None:
    response = at_alice.post("/webhooks", {"url": URL, "types": ["job.failed"], "tag": "legal"})
    secret = response.context["secret"]
    assert secret.startswith("whsec_")
    assert secret in text(response)
    assert "no-store" in response.headers["Cache-Control"]
    page = text(at_alice.get("/webhooks"))
    assert URL in page
    assert secret not in page, "it is shown once"
    assert Webhook.objects.get().types == ["job.failed"]


def test_wrong_fields(at_alice: Client) -> None:
    response = at_alice.post("/webhooks", {"url": "http://127.0.0.1/"})
    assert response.status_code == 400
    assert "HTTP_ALLOWED_PRIVATE_HOSTS" in text(response)
    assert "Select at least one event." in text(response)
    assert not Webhook.objects.exists()


@in_transactions
def test_deliveries_with_responses(alice: User, at_alice: Client, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    endpoint.text = "<b>thanks</b>"
    address = f"/webhooks/{webhook.pk}"
    assertRedirects(at_alice.post(f"{address}/test"), address)
    send_all()
    page = at_alice.get(address)
    assert "webhook.test" in text(page)
    assert "delivered" in text(page)
    assert b"&lt;b&gt;thanks" in page.content
    delivery = Delivery.objects.get()
    assertRedirects(at_alice.post(f"{address}/deliveries/{delivery.pk}/resend"), address)
    send_all()
    assert len(endpoint.requests) == 2


def test_pause_resume_rotate_delete(alice: User, at_alice: Client, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    address = f"/webhooks/{webhook.pk}"
    at_alice.post(f"{address}/pause")
    assert "Resume webhook" in text(at_alice.get(address))
    at_alice.post(f"{address}/resume")
    assert "Pause webhook" in text(at_alice.get(address))
    assert "whsec_" in text(at_alice.post(address))
    assert "whsec_" not in text(at_alice.get(address))
    assert at_alice.post(f"{address}/explode").status_code == 404
    assertRedirects(at_alice.post(f"{address}/delete"), "/webhooks")
    assert not Webhook.objects.exists()


def test_other_users(alice: User, at_bob: Client, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    assert "/hook" not in text(at_bob.get("/webhooks"))
    for address in (f"/webhooks/{webhook.pk}/delete", f"/webhooks/{webhook.pk}"):
        assert at_bob.post(address).status_code == 404
    assert Webhook.objects.exists()
