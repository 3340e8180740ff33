"""Audit events of logins, failed logins and logouts, from Django's own signals."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from aiworkstation.audit.record import record
from aiworkstation.audit.refused_requests import anonymous_events


def connect() -> None:
    user_logged_in.connect(_logged_in, dispatch_uid="audit")
    user_logged_out.connect(_logged_out, dispatch_uid="audit")
    user_login_failed.connect(_login_failed, dispatch_uid="audit")


def _logged_in(*, user: User, **signal: Any) -> None:
    record(user, "user.logged_in", f"user:{user.pk}")


def _logged_out(*, user: User | None, **signal: Any) -> None:
    if user is not None:
        record(user, "user.logged_out", f"user:{user.pk}")


def _login_failed(*, credentials: dict[str, Any], **signal: Any) -> None:
    """Records the name that was tried, even if no user has it. Limited like every event of an anonymous caller."""
    if anonymous_events.spend("user.login_failed"):
        name = str(credentials.get("username", ""))[:100].replace("\0", "")
        record(None, "user.login_failed", f"user:{name}", {"username": name})
