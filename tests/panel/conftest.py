import pytest
from django.contrib.auth.models import User
from django.test import Client


def browser_of(user: User) -> Client:
    """Signed in, with a session as a browser has it."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def at_alice(alice: User) -> Client:
    return browser_of(alice)


@pytest.fixture
def at_bob(bob: User) -> Client:
    return browser_of(bob)


@pytest.fixture
def at_charlie(charlie: User) -> Client:
    return browser_of(charlie)
