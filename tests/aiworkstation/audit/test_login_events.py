"""Logins, failed logins and logouts."""

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent


@pytest.fixture
def alice_with_password(alice: User) -> User:
    User.objects.filter(pk=alice.pk).update(password=make_password("correct horse"))
    return alice


def test_it_works(client: Client, alice_with_password: User) -> None:
    client.post("/login", {"username": "alice", "password": "wrong"})
    client.post("/login", {"username": "alice", "password": "correct horse"})
    client.post("/logout")
    events = list(AuditEvent.objects.order_by("pk"))
    assert [(event.actor, event.action) for event in events] == [
        ("anonymous", "user.login_failed"),
        ("alice", "user.logged_in"),
        ("alice", "user.logged_out"),
    ]
    assert events[0].object == "user:alice"
    assert events[1].object == f"user:{alice_with_password.pk}"
    assert "wrong" not in str([event.changes for event in events])
