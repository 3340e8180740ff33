"""`{{secret.NAME}}` in what a tool sends: filled from the environment's `SECRET_NAME` at the last moment.

The value is never stored: whoever fills it takes it out again of everything that comes back.
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

ENV_FILE = BASE_DIR / ".env"
REFERENCE = re.compile(r"\{\{\s*secret\.([A-Za-z0-9_]+)\s*\}\}")
REDACTED = "[secret]"
_URL = re.compile(r"https?://\S*$")
_in_use: ContextVar[frozenset[str]] = ContextVar("in_use", default=frozenset())
NOT_FOR_STEPS = ("KEY", "KEY_FALLBACKS")  # SECRET_KEY is the application's own


def names(value: Any) -> set[str]:
    """The secrets that this JSON refers to."""
    return set(REFERENCE.findall(json.dumps(value, ensure_ascii=False, default=str)))


def fill(value: Any, used: set[str]) -> Any:
    """The JSON with its references filled, percent-encoded inside a URL. Raises NotConfigured.

    `used` gains the values, for `redact`; so does `in_use` for the rest of the running task.
    """
    if isinstance(value, str):
        encoded = _percent_encoded if _URL.match(value) else str
        return REFERENCE.sub(lambda found: encoded(_use(found[1], used)), value)
    if isinstance(value, dict):
        return {fill(key, used): fill(item, used) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, used) for item in value]
    return value


def known(value: Any) -> set[str]:
    """The values of the secrets that this JSON refers to, as far as this process has them."""
    found = {_value(name) for name in names(value)}
    return {secret for secret in found if secret}


def in_use() -> frozenset[str]:
    """The values that this task has filled in, wherever it did."""
    return _in_use.get()


def is_in(text: str, used: Collection[str]) -> bool:
    """Whether one of the values stands in the text, in any form."""
    return any(form in text for form in _forms(used))


def redact(value: Any, used: Collection[str]) -> Any:
    """The JSON without those values, plain, percent-encoded or escaped."""
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
