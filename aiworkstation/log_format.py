"""The format of the log (LOG_FORMAT), and what each record contains: the request, its user, the job and the step.

Django sets up logging before it loads models, so this module imports none.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)
_current_step: ContextVar[dict[str, str] | None] = ContextVar("current_step", default=None)


@contextmanager
def log_step(*, job: object, step: object, user: str) -> Iterator[None]:
    """Adds these to each record that is logged meanwhile, in this task and in its threads."""
    reset = _current_step.set({"job": str(job), "step": str(step), "user": user})
    try:
        yield
    finally:
        _current_step.reset(reset)


def known_ids() -> dict[str, str]:
    """Returns `request`, `job`, `step` and `user`: those that are known of what this thread does now."""
    request = current_request.get()
    id = getattr(request, "request_id", "")
    known = {"request": id, "user": _user_of(request), **(_current_step.get() or {})}
    return {name: value for name, value in known.items() if value}


class LogContext(logging.Filter):
    """Gives each record `request_id` and `context`: the parts that are known of request, job, step and user.

    Django logs a refused request after its end. Such a record has the request as an attribute.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        request = request if isinstance(request, HttpRequest) else current_request.get()
        id = getattr(request, "request_id", "")
        known = {"request": id, "user": _user_of(request), **(_current_step.get() or {})}
        record.request_id = id or "-"
        record.context = {name: value for name, value in known.items() if value}
        return True


def _user_of(request: HttpRequest | None) -> str:
    """The user if the request has loaded one already: writing a log must not read the database."""
    if request is None:
        return ""
    user = getattr(request, "_cached_user", None) or vars(request).get("user")
    if user is None or "_wrapped" in vars(user) or not user.is_authenticated:
        return ""
    return str(user.get_username())


class LineFormatter(logging.Formatter):
    """`2026-01-01 00:00:00,123 INFO [request job=… step=… user=…] logger: message`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(line_context)s] %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        parts = [f"{name}={_one_word(value)}" for name, value in _context_of(record).items() if name != "request"]
        record.line_context = " ".join([getattr(record, "request_id", "-"), *parts])
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object in each line: time, level, logger, message, request, user, job, step, error."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry: dict[str, Any] = {
            "time": at,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_context_of(record),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _context_of(record: logging.LogRecord) -> dict[str, str]:
    return getattr(record, "context", {})


def _one_word(value: str) -> str:
    """A name with spaces or line breaks cannot look like another part of the line."""
    return value if value.isprintable() and " " not in value and "]" not in value else json.dumps(value)
