"""Sign-in, with limits by name and by address that count before a password is hashed.

A hash takes a third of a second of a processor, and a guess may be right. A client without attempts left waits for
SIGN_IN_LOCK_MINUTES, or asks staff, who use an action on users in the admin or `manage.py unlock`. The answer is the
same for names that no user has.
"""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from aiworkstation.access.models import SignInAttempts
from aiworkstation.audit.client_address import client_address
from aiworkstation.audit.record import record

PER_ADDRESS = 5
"""An address gets this many times the attempts of a name, because users behind one router share it."""
MAX_NAME = 150


class LimitedBackend(ModelBackend):
    """Django's backend for passwords. Without attempts left it refuses and asks no other backend."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        name = username if username is not None else credentials.get(User.USERNAME_FIELD)
        if name is None or password is None:
            return None
        if not spend_attempt(str(name), request):
            if request is not None:
                request.is_sign_in_locked = True  # type: ignore[attr-defined]
            raise PermissionDenied
        user = super().authenticate(request, username=str(name), password=password)
        if user is not None:
            SignInAttempts.forget(name_key(str(name)))
            if request is not None:
                # Only this attempt: with an account of their own, a client could otherwise guess others' for ever.
                SignInAttempts.give_back(address_key(client_address(request)))
        return user


class _LockedMessage:
    request: HttpRequest | None

    def get_invalid_login_error(self) -> ValidationError:
        if getattr(self.request, "is_sign_in_locked", False):
            return locked_error()
        return super().get_invalid_login_error()  # type: ignore[misc, no-any-return]


class SignInForm(_LockedMessage, AuthenticationForm):
    """The form of the sign-in page."""


class AdminSignInForm(_LockedMessage, AdminAuthenticationForm):
    """The form of the admin's own sign-in page."""


def locked_error() -> ValidationError:
    minutes = settings.CONFIG.sign_in_lock_minutes
    return ValidationError(f"Too many failed attempts. Try again in {minutes} minutes, or ask staff.", code="locked")


def spend_attempt(name: str, request: HttpRequest | None) -> bool:
    """Counts an attempt for the name and for the client's address. Returns whether both have attempts left."""
    limit = settings.CONFIG.sign_in_attempts
    if not limit:
        return True
    keys = {name_key(name): limit}
    if request is not None:
        keys[address_key(client_address(request))] = limit * PER_ADDRESS
    spent = {key: SignInAttempts.count(key, limit=most) for key, most in keys.items()}
    for key, most in keys.items():
        if spent[key] == most + 1:
            record(None, "user.sign_in_locked", key, {"minutes": settings.CONFIG.sign_in_lock_minutes})
    return all(spent[key] <= most for key, most in keys.items())


def unlock(actor: object, key: str) -> bool:
    """Gives a name or an address its attempts back. Returns whether any were counted."""
    was_counted = SignInAttempts.forget(key)
    if was_counted:
        record(actor, "user.sign_in_unlocked", key)
    return was_counted


def name_key(name: str) -> str:
    return f"user:{name[:MAX_NAME].replace(chr(0), '')}"


def address_key(address: str) -> str:
    """A client has all addresses of its IPv6 network, so they count as one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:MAX_NAME]}"
    if found.version == 6 and found.ipv4_mapped is None:
        return f"address:{ipaddress.ip_network((found, 64), strict=False)}"
    return f"address:{found.ipv4_mapped if found.version == 6 else found}"
