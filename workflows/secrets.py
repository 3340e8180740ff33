"""`{{secret.NAME}}` in what a tool sends: filled from the environment's `SECRET_NAME` at the last moment.

The value is never stored: whoever fills it takes it out again of everything that comes back.
"""

import json
import os
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, quote_plus

from dotenv import dotenv_values

from aiworkstation.ops.config import BASE_DIR
from workflows.errors import NotConfigured

ENV_FILE = BASE_DIR / ".env"
REFERENCE = re.compile(r"\{\{\s*secret\.([A-Za-z0-9_]+)\s*\}\}")
REDACTED = "[secret]"
NOT_FOR_STEPS = ("KEY", "KEY_FALLBACKS")  # SECRET_KEY is the application's own


def names(value: Any) -> set[str]:
    """The secrets that this JSON refers to."""
    return set(REFERENCE.findall(json.dumps(value, ensure_ascii=False, default=str)))


def fill(value: Any, used: set[str]) -> Any:
    """The JSON with its references filled; `used` gains the values, for `redact`. Raises NotConfigured."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda found: _use(found[1], used), value)
    if isinstance(value, dict):
        return {fill(key, used): fill(item, used) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, used) for item in value]
    return value


def fill_url(url: str, used: set[str]) -> str:
    """A URL with its references filled: percent-encoded, but as it is where it begins the URL."""

    def encoded(found: re.Match[str]) -> str:
        secret = _use(found[1], used)
        return secret if found.start() == 0 else quote(secret, safe="")

    return REFERENCE.sub(encoded, url)


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
    secret = None if name in NOT_FOR_STEPS else _environment(f"SECRET_{name}")
    if not secret:
        raise NotConfigured(f"This step needs the secret {name}: set SECRET_{name} in the environment of the workers.")
    used.add(secret)
    return secret


def _environment(name: str) -> str | None:
    return os.environ.get(name) or dotenv_values(ENV_FILE).get(name)


def _forms(used: Collection[str]) -> set[str]:
    forms: set[str] = set()
    for secret in used:
        forms |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return forms - {""}
