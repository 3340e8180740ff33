"""Rules and alerts in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from alerts import episodes
from alerts.conditions import Finding
from alerts.models import Alert, AlertRule, Kind
from tests.support.html import text

RULES = "/admin/alerts/alertrule/"
FORM: dict[str, Any] = {
    "name": "mine",
    "kind": "failure_share",
    "job_type": "workflow",
    "limit": "25",
    "window_seconds": "600",
    "least_jobs": "5",
    "calm_seconds": "60",
    "sends_mail": "on",
    "addresses": "a@example.com,b@example.com",
    "sends_webhooks": "on",
}


@pytest.fixture
def at_admin(charlie: User) -> Client:
    charlie.user_permissions.set(Permission.objects.filter(content_type__app_label="alerts"))
    client = Client()
    client.force_login(charlie)
    return client


def test_there_are_rules_from_the_start(db: None) -> None:
    assert set(AlertRule.objects.at_work().values_list("kind", flat=True)) == set(Kind.values)
    for rule in AlertRule.objects.all():
        rule.full_clean()


def test_a_rule_is_made_changed_and_deleted(at_admin: Client) -> None:
    assert at_admin.post(f"{RULES}add/", FORM).status_code == 302
    rule = AlertRule.objects.get(name="mine")
    assert (rule.limit, rule.addresses) == (25, ["a@example.com", "b@example.com"])
    assert at_admin.post(f"{RULES}{rule.pk}/change/", {**FORM, "is_muted": "on"}).status_code == 302
    assert at_admin.post(f"{RULES}{rule.pk}/delete/", {"post": "yes"}).status_code == 302
    events = AuditEvent.objects.filter(object=f"alert_rule:{rule.pk}").order_by("id")
    assert [event.action for event in events] == ["alert_rule.added", "alert_rule.changed", "alert_rule.deleted"]
    assert events[1].changes["before"]["is_muted"] is False
    assert events[1].changes["after"]["is_muted"] is True
    assert (events[1].actor, events[1].channel) == ("charlie", "admin")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "100"},
        {"limit": "-1"},
        {"limit": "nan"},
        {"limit": "1e99"},
        {"kind": "weather"},
        {"kind": "no_worker"},
        {"window_seconds": "0"},
        {"least_jobs": "0"},
        {"addresses": "nobody"},
        {"addresses": ",".join(f"a{n}@example.com" for n in range(21))},
        {"name": "A job failed"},
        {"calm_seconds": "-1"},
    ],
)
def test_wrong_rules(at_admin: Client, wrong: dict[str, str]) -> None:
    assert at_admin.post(f"{RULES}add/", {**FORM, **wrong}).status_code == 200
    assert not AlertRule.objects.filter(name="mine").exists()


def test_alerts_are_listed_and_ended(at_admin: Client) -> None:
    rule = AlertRule.objects.get(kind=Kind.OLDEST_DUE)
    episodes.begin(rule, Finding("", "<b>It waits</b>"))
    page = at_admin.get("/admin/alerts/alert/")
    assert "<b>It waits" not in page.content.decode()
    assert "It waits" in text(page)
    alert = Alert.objects.get()
    form = {"action": "resolve", "_selected_action": [str(alert.pk)]}
    for _ in range(2):
        assert at_admin.post("/admin/alerts/alert/", form).status_code == 302
    alert.refresh_from_db()
    assert alert.outcome == "charlie ended it."
    assert AuditEvent.objects.get(action="alert.resolved").actor == "charlie"


def test_without_the_permission(charlie: User, at_charlie: Client) -> None:
    assert at_charlie.get(RULES).status_code == 403
    charlie.user_permissions.add(Permission.objects.get(codename="view_alert"))
    rule = AlertRule.objects.get(kind=Kind.OLDEST_DUE)
    episodes.begin(rule, Finding("", "wrong"))
    form = {"action": "resolve", "_selected_action": [str(Alert.objects.get().pk)]}
    at_charlie.post("/admin/alerts/alert/", form)
    assert Alert.objects.open().exists()
