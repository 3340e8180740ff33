"""Where a change comes from: the channel and the address of its audit event, and who makes it."""

import getpass
import os
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from aiworkstation.audit.client_address import client_address

Channel = Literal["page", "token", "worker", "command", "admin", "mail"]
SEPARATOR = "\x1f"
MAX_ACTOR = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """`request` is the request that is being answered, if there is one."""

    channel: Channel
    address: str
    request: HttpRequest | None = None


_of_request: ContextVar[Origin | None] = ContextVar("origin", default=None)
_of_process = Origin("command", socket.gethostname())


def current() -> Origin:
    """The origin of what this thread does now: that of its request, or that of the process."""
    return _of_request.get() or _of_process


def become_worker() -> None:
    """Notes that this process, and those it forks, are a worker. By default a process is a command."""
    global _of_process
    _of_process = Origin("worker", socket.gethostname())


def become_worker_thread() -> None:
    """The same for this thread alone, of a process that also answers requests."""
    _of_request.set(Origin("worker", socket.gethostname()))


def current_actor() -> str:
    """Who acts now, for changes whose caller does not know: the request's user, the worker, or the command's user."""
    origin = current()
    if origin.request is not None:
        user = user_of(origin.request)
        return str(user.get_username()) if user is not None else "anonymous"
    return f"worker {origin.address}:{os.getpid()}" if origin.channel == "worker" else command_line_actor()


def command_line_actor() -> str:
    """Who runs this command, as the audit trail names them."""
    return f"{getpass.getuser()} at the command line"


def stamped(actor: str) -> str:
    """Returns the actor, the channel and the address as one text, which the trigger of `audit_events` splits.

    So the engine's statements need no parameters for these, and no setting of the session, which a pooled connection
    could carry into another request.
    """
    origin = current()
    name = actor.replace(SEPARATOR, " ")[:MAX_ACTOR]
    return SEPARATOR.join((name, origin.channel, origin.address[:100]))


class RequestOrigin:
    """Middleware that notes the origin of each request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        reset = _of_request.set(Origin(_channel(request), client_address(request), request))
        try:
            return self.get_response(request)
        finally:
            _of_request.reset(reset)


def _channel(request: HttpRequest) -> Channel:
    if request.path.startswith(settings.CALLBACK_PREFIX):
        return "worker"
    if request.path.startswith(reverse("admin:index")):
        return "admin"
    if request.path == reverse("mail:answer"):
        return "mail"
    return "token" if "Authorization" in request.headers else "page"


def user_of(request: HttpRequest) -> Any:
    """Returns None for anonymous callers, and before the session is known. DRF sets the user of an API token.

    If the CSRF token is missing, DRF drops the session's user: so the session is asked again.
    """
    if not hasattr(request, "user"):
        return None
    user = request.user if request.user.is_authenticated else get_user(request)
    return user if user.is_authenticated else None
