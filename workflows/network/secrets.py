"""Secrets: `{{secret.NAME}}` in what a tool sends is replaced, at the last moment, by the variable `SECRET_NAME`.

The value is never stored. The code that fills it in also redacts it in everything that comes back.
"""

import json
import os
import re
from collections.abc import Collection
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, quote_plus

from dotenv import dotenv_values

from aiworkstation import BASE_DIR
from workflows.errors import NotConfigured
from workflows.placeholders import SECRET

ENV_FILE = BASE_DIR / ".env"
REDACTED = "[secret]"
_URL = re.compile(r"https?://\S*$")
_in_use: ContextVar[frozenset[str]] = ContextVar("in_use", default=frozenset())
NOT_FOR_STEPS = ("KEY", "KEY_FALLBACKS")  # SECRET_KEY is the application's own


def names(value: Any) -> set[str]:
    """The names of the secrets that this JSON refers to."""
    return set(SECRET.findall(json.dumps(value, ensure_ascii=False, default=str)))


def fill(value: Any, used: set[str]) -> Any:
    """Returns the JSON with the values of its secrets, percent-encoded inside a URL. Raises NotConfigured.

    The values are added to `used`, for `redact`, and to `in_use()` for the rest of the running task.
    """
    if isinstance(value, str):
        encoded = _percent_encoded if _URL.match(value) else str
        return SECRET.sub(lambda found: encoded(_use(found[1], used)), value)
    if isinstance(value, dict):
        return {fill(key, used): fill(item, used) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, used) for item in value]
    return value


def known_values(value: Any) -> set[str]:
    """The values of the secrets that this JSON refers to, if this process has them."""
    found = {_value(name) for name in names(value)}
    return {secret for secret in found if secret}


def in_use() -> frozenset[str]:
    """All values that the running task has filled in so far."""
    return _in_use.get()


def is_in(text: str, used: Collection[str]) -> bool:
    """Whether the text contains one of the values, in any form."""
    return any(form in text for form in _forms(used))


def redact(value: Any, used: Collection[str]) -> Any:
    """Returns the JSON without these values, be they plain, percent-encoded or escaped."""
    if isinstance(value, str):
        for form in sorted(_forms(used), key=len, reverse=True):
            value = value.replace(form, REDACTED)
        return value
    if isinstance(value, dict):
        return {redact(key, used): redact(item, used) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, used) for item in value]
    return value


def _use(name: str, used: set[str]) -> str:
    secret = _value(name)
    if not secret:
        raise NotConfigured(f"This step needs the secret {name}: set SECRET_{name} in the environment of the workers.")
    used.add(secret)
    _in_use.set(_in_use.get() | {secret})
    return secret


def _value(name: str) -> str | None:
    return None if name in NOT_FOR_STEPS else _environment(f"SECRET_{name}")


def _percent_encoded(secret: str) -> str:
    return quote(secret, safe="")


def _environment(name: str) -> str | None:
    return os.environ.get(name) or dotenv_values(ENV_FILE).get(name)


def _forms(used: Collection[str]) -> set[str]:
    forms: set[str] = set()
    for secret in used:
        forms |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return forms - {""}
