"""Reports unexpected errors to Sentry, if SENTRY_DSN is set: of requests, and of steps and other work of the workers.

A report has the traceback, the log message, and the ids of request, job and step. It has no user, no address, no
header, no body and no value of a variable. Secrets that the application knows are replaced.
"""

import os
import re
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import sentry_sdk
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict
from sentry_sdk.integrations.argv import ArgvIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
from sentry_sdk.integrations.modules import ModulesIntegration
from sentry_sdk.types import Event, Hint

from aiworkstation import VERSION
from aiworkstation.log_format import known_ids
from aiworkstation.ops.config import SECRET_SETTINGS
from workflows.network import secrets

SHORTEST_SECRET = 6
"""Characters. A shorter value is also part of many words."""
REPORTED_IDS = ("request", "job", "step")
_TOKENS = re.compile(r"\b(?:aiw_|whsec_)[A-Za-z0-9+/=_-]{8,}")
STOP_SECONDS = 2


def start() -> None:
    sentry_sdk.init(
        settings.CONFIG.sentry_dsn,
        release=VERSION,
        integrations=[DjangoIntegration(middleware_spans=False, signals_spans=False), LoggingIntegration(level=None)],
        auto_enabling_integrations=False,
        disabled_integrations=[ArgvIntegration(), ModulesIntegration()],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        trace_propagation_targets=[],  # requests to other servers get no headers of Sentry
        shutdown_timeout=STOP_SECONDS,
        before_send=without_secrets,
    )
    # Anybody can cause these: a request with a host name that is not the application's.
    ignore_logger("django.security.DisallowedHost")


def flush() -> None:
    """Call it before a process ends without its exit handlers."""
    sentry_sdk.flush(STOP_SECONDS)


def without_secrets(event: Event, hint: Hint) -> Event:
    """Takes out what a report must not have. The path of a request can contain the token of a mailed link."""
    found: dict[str, Any] = {**event}
    for name in ("user", "extra", "breadcrumbs", "_meta"):
        found.pop(name, None)
    if "request" in found:
        found["request"] = {"method": found["request"].get("method", "")}
    found["tags"] = {name: value for name, value in known_ids().items() if name in REPORTED_IDS}
    return cast(Event, _without_tokens(secrets.redact(found, _known_secrets())))


def _without_tokens(value: Any) -> Any:
    """API tokens and secrets of webhooks, which the application does not keep in the clear."""
    if isinstance(value, str):
        return _TOKENS.sub(secrets.REDACTED, value)
    if isinstance(value, dict):
        return {name: _without_tokens(item) for name, item in value.items()}
    return [_without_tokens(item) for item in value] if isinstance(value, list) else value


def _known_secrets() -> set[str]:
    config = settings.CONFIG
    found = {str(getattr(config, name)) for name in SECRET_SETTINGS} | {settings.SECRET_KEY}
    found |= {_password(url) for url in (config.database_url, config.listen_database_url, config.migrate_database_url)}
    found |= {unquote(urlsplit(config.email_url).password or ""), *config.otel_headers.values()}
    found |= {value for name, value in os.environ.items() if name.startswith("SECRET_")}
    return {value for value in found | secrets.in_use() if len(value) >= SHORTEST_SECRET}


def _password(url: str) -> str:
    return str(conninfo_to_dict(url).get("password") or "") if url else ""
