"""Changes to users, groups, permissions and passwords are audit events, and so is all that the admin's log records."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from workflows.models import Mode


@pytest.fixture
def admin(charlie: User, client: Client) -> Client:
    charlie.is_superuser = True
    charlie.save()
    client.force_login(charlie)
    return client


def events(prefix: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action__startswith=prefix).order_by("id"))


FORM = {
    "username": "alice",
    "is_active": "on",
    "date_joined_0": "2026-01-01",
    "date_joined_1": "00:00:00",
}


def test_a_user_who_becomes_staff(admin: Client, alice: User) -> None:
    group = Group.objects.create(name="editors")
    permission = Permission.objects.get(codename="add_mode")
    form = {**FORM, "is_staff": "on", "is_superuser": "on", "groups": [group.pk], "user_permissions": [permission.pk]}
    assert admin.post(f"/admin/auth/user/{alice.pk}/change/", form).status_code == 302
    changed, groups, permissions = (event for event in events("user.") if event.object == f"user:{alice.pk}")
    assert changed.changes == {"is_staff": [False, True], "is_superuser": [False, True]}
    assert (changed.actor, changed.channel, changed.address) == ("charlie", "admin", "127.0.0.1")
    assert (groups.action, groups.changes) == ("user.groups_added", {"groups": ["editors"]})
    assert permissions.action == "user.permissions_added"
    assert "mode" in permissions.changes["permissions"][0]


def test_a_new_user_and_a_deleted_one(admin: Client, alice: User) -> None:
    form = {"username": "dora", "usable_password": "true", "password1": "xk29-fjw2-q", "password2": "xk29-fjw2-q"}
    assert admin.post("/admin/auth/user/add/", form).status_code == 302
    assert admin.post(f"/admin/auth/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert [(event.actor, event.action) for event in events("user.")[-2:]] == [
        ("charlie", "user.added"),
        ("charlie", "user.deleted"),
    ]
    assert "xk29" not in str([event.changes for event in AuditEvent.objects.all()])


def test_a_password_set_by_staff(admin: Client, alice: User) -> None:
    form = {"usable_password": "true", "password1": "xk29-fjw2-q", "password2": "xk29-fjw2-q"}
    assert admin.post(f"/admin/auth/user/{alice.pk}/password/", form).status_code == 302
    (event,) = events("user.password_changed")
    assert (event.actor, event.object, event.changes) == ("charlie", f"user:{alice.pk}", {"username": "alice"})


def test_several_deleted_at_once(admin: Client, alice: User, bob: User) -> None:
    """Django writes the entries of an action with one statement, without signals."""
    form = {"action": "delete_selected", "_selected_action": [alice.pk, bob.pk], "post": "yes"}
    assert admin.post("/admin/auth/user/", form).status_code == 302
    assert LogEntry.objects.count() == 2
    assert sorted(event.object for event in events("admin.deleted")) == sorted(
        f"auth.user:{user.pk}" for user in (alice, bob)
    )
    assert len(events("user.deleted")) == 2


@pytest.mark.parametrize("path", ["groups/add", "groups/change", "mode"])
def test_whatever_the_admin_log_records(admin: Client, path: str) -> None:
    group = Group.objects.create(name="before")
    permission = Permission.objects.get(codename="add_mode").pk
    mode = Mode.objects.get(name="Sales")
    addresses: dict[str, tuple[str, dict[str, Any]]] = {
        "groups/add": ("/admin/auth/group/add/", {"name": "new", "permissions": [permission]}),
        "groups/change": (f"/admin/auth/group/{group.pk}/change/", {"name": "after", "permissions": [permission]}),
        "mode": (f"/admin/workflows/mode/{mode.pk}/change/", {"name": "Sales", "prompt": "x", "default_model": ""}),
    }
    address, form = addresses[path]
    assert admin.post(address, form).status_code == 302
    entry = LogEntry.objects.get()
    (event,) = events("admin.")
    assert event.object == f"{entry.content_type.app_label}.{entry.content_type.model}:{entry.object_id}"  # type: ignore[union-attr]
    assert (event.actor, event.channel) == ("charlie", "admin")
    if path != "mode":
        assert events("group.permissions_added")


def test_an_entry_that_other_code_writes(alice: User) -> None:
    LogEntry.objects.log_actions(alice.pk, [alice], 2, "by a script", single_object=True)
    LogEntry.objects.log_actions(alice.pk, [alice, alice], 2, "by a script")
    assert len(events("admin.changed")) == 3


def test_commands_and_code_are_recorded_too(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "xk29-fjw2-q")
    call_command("createsuperuser", interactive=False, username="eve", email="e@example.com", verbosity=0)
    added = events("user.added")[-1]
    assert added.changes["is_superuser"] == [None, True]
    assert (added.channel, added.actor.endswith("at the command line")) == ("command", True)
    group = Group.objects.create(name="ops")
    group.user_set.add(alice)
    group.permissions.set(Permission.objects.filter(codename="add_mode"))
    group.permissions.clear()
    alice.groups.clear()
    alice.set_password("another")
    alice.save(update_fields=["password"])
    group.delete()
    assert [event.action for event in events("")][-7:] == [
        "group.added",
        "group.users_added",
        "group.permissions_added",
        "group.permissions_removed",
        "user.groups_removed",
        "user.password_changed",
        "group.deleted",
    ]


def test_a_sign_in_is_no_change(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert not events("user.changed")
    assert not events("user.password_changed")
