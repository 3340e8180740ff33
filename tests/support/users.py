"""Users and clients. Alice owns the objects of a test, Bob must be refused, Charlie is staff."""

from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.access.models import ApiToken


def make_user(name: str, *, is_staff: bool = False) -> User:
    user = User(username=name, is_staff=is_staff)
    user.set_unusable_password()
    User.objects.bulk_create([user])  # without the audit event of a new user
    return user


def client_of(user: User) -> Client:
    """Returns a client that calls the API with an API token of the user."""
    _, text = ApiToken.issue(user)
    return Client(headers={"authorization": f"Bearer {text}"})
