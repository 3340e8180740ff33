"""Secrets: `{{secret.NAME}}` in a request is replaced by the variable `SECRET_NAME`, if a grant allows it.

A grant (`SecretGrant`, made by staff) names a secret, the hosts that may get it, where in the request it may be, and
who may use it. Without one, nothing is filled in. The value is never stored. Only `http_client` fills it in, for one
host at a time, and redacts it in everything that comes back.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from dotenv import dotenv_values

from aiworkstation.ops import config
from workflows.errors import BadArguments, NotConfigured, PermanentError
from workflows.placeholders import SECRET, misplaced_in_url

REDACTED = "[secret]"
NOT_FOR_STEPS = ("KEY", "KEY_FALLBACKS")  # SECRET_KEY is the application's own


@dataclass(frozen=True)
class Grant:
    """`hosts` are `host:port`. `places` are `header:NAME`, `query:NAME`, `body` (of text) and `body:PATH` (of JSON).

    A path names the keys from the outside in, with dots; positions in arrays are left out.
    """

    secret: str
    hosts: frozenset[str]
    places: frozenset[str]


Grants = Callable[[], Awaitable[Collection[Grant]]]


async def _no_grants() -> Collection[Grant]:
    return []


_grants: ContextVar[Grants] = ContextVar("grants", default=_no_grants)
_in_use: ContextVar[frozenset[str]] = ContextVar("in_use", default=frozenset())


def use_grants(grants: Grants) -> None:
    """Sets where the running task gets its grants. They are asked for only if a request names a secret."""
    _grants.set(grants)


def names(value: Any) -> set[str]:
    """The names of the secrets that this JSON refers to."""
    return set(SECRET.findall(json.dumps(value, ensure_ascii=False, default=str)))


class Filler:
    """Fills in the secrets of one request to one host. Raises `secret_not_granted`, NotConfigured or BadArguments."""

    def __init__(self, host: str, grants: Collection[Grant]) -> None:
        self._host = host
        self._grants = grants

    @classmethod
    async def for_request(cls, host: str, parts: Any) -> "Filler":
        """Asks for the grants only if `parts` name a secret."""
        return cls(host, await _grants.get()() if names(parts) else [])

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {_plain(name): self._fill(value, f"header:{name.lower()}") for name, value in headers.items()}

    def url(self, url: str) -> str:
        """Fills in the values of the query, percent-encoded."""
        if misplaced_in_url(url):
            raise BadArguments("A secret can be in a value of the URL's query only, not in its host, path or names.")
        base, mark, query = url.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")]
        filled = [
            f"{name}{equals}{self._fill(value, f'query:{name}', _percent_encoded)}" for name, equals, value in pairs
        ]
        return f"{base}{mark}{'&'.join(filled)}"

    def text(self, body: str) -> str:
        return self._fill(body, "body")

    def json(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        if isinstance(value, str):
            return self._fill(value, f"body:{'.'.join(path)}" if path else "body")
        if isinstance(value, dict):
            return {_plain(key): self.json(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item, path) for item in value]
        return value

    def _fill(self, text: str, place: str, encoded: Callable[[str], str] = str) -> str:
        return SECRET.sub(lambda found: encoded(self._use(found[1], place)), text)

    def _use(self, name: str, place: str) -> str:
        is_granted = any(
            grant.secret == name and self._host in grant.hosts and place in grant.places for grant in self._grants
        )
        if not is_granted:
            raise PermanentError(
                f"The secret {name} may not be sent to {self._host} as {place} in this mode. An administrator can "
                "allow it: Secret grants, in the admin.",
                code="secret_not_granted",
            )
        secret = _value(name)
        if not secret:
            raise NotConfigured(
                f"This step needs the secret {name}: set SECRET_{name} in the environment of the workers."
            )
        _in_use.set(_in_use.get() | {secret})
        return secret


def _plain(key: str) -> str:
    if SECRET.search(key):
        raise BadArguments("A secret can be in a value only, not in a name.")
    return key


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
        # Longest first: if one value contains another, no part of it may remain.
        for form in sorted(_forms(used), key=len, reverse=True):
            # Ignores case, because hosts and header names come back in lower case.
            value = re.sub(re.escape(form), REDACTED, value, flags=re.IGNORECASE)
        return value
    if isinstance(value, dict):
        return {redact(key, used): redact(item, used) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, used) for item in value]
    return value


def _value(name: str) -> str | None:
    return None if name in NOT_FOR_STEPS else _environment(f"SECRET_{name}")


def _percent_encoded(secret: str) -> str:
    return quote(secret, safe="")


def _environment(name: str) -> str | None:
    return os.environ.get(name) or (dotenv_values(config.ENV_FILE).get(name) if config.ENV_FILE else None)


def _forms(used: Collection[str]) -> set[str]:
    forms: set[str] = set()
    for secret in used:
        forms |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return forms - {""}
