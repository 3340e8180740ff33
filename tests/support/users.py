"""Users and clients. Alice owns what a test makes, bob must be refused, charlie is staff."""

from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.access.models import ApiToken


def make_user(name: str, *, is_staff: bool = False) -> User:
    user = User(username=name, is_staff=is_staff)
    user.set_unusable_password()
    user.save()
    return user


def client_of(user: User) -> Client:
    """Calls the API with a token of the user's."""
    _, text = ApiToken.issue(user)
    return Client(headers={"authorization": f"Bearer {text}"})
