"""A mail server, and users who can be reached."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django.fixtures import Settings

from mail.models import Mail
from mail.postman import Postman
from tests.servers.smtp_server import SmtpServer


def use_mail_server(settings: Settings, server: SmtpServer) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"email_url": server.url})
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_TIMEOUT = 20
    settings.DEFAULT_FROM_EMAIL = "jobs@example.com"


@pytest.fixture
def smtp(settings: Settings) -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        use_mail_server(settings, server)
        yield server


def reachable(user: User) -> User:
    User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.com")
    user.refresh_from_db()
    return user


def send_due() -> int:
    return Postman().do()


def pass_time(seconds: float) -> None:
    """Lets the due times of all mails come so much earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mails SET next_try_at = next_try_at - %(s)s * interval '1 second',"
            " created_at = created_at - %(s)s * interval '1 second'",
            {"s": seconds},
        )


def only_mail() -> Mail:
    return Mail.objects.get()
