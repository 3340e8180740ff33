"""Reads EMAIL_URL, as django-environ and dj-email-url write it: `smtp://user:password@host:587/?tls=true`."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
"""An e-mail address as forms of web pages accept it (WHATWG HTML), because that is what mail servers accept."""

Security = Literal["none", "starttls", "tls"]

_SCHEMES: dict[str, Security] = {
    "smtp": "none",
    "smtp+tls": "starttls",
    "submission": "starttls",
    "submit": "starttls",
    "smtps": "tls",
    "smtp+ssl": "tls",
}
_CONSOLE, _FILE = ("console", "consolemail"), ("file", "filemail")
_PORTS: dict[Security, int] = {"none": 25, "starttls": 587, "tls": 465}
_FROM = "_default_from_email"
_OPTIONS = {"tls", "ssl", "timeout", _FROM}
_FLAGS = {**dict.fromkeys(("", "1", "y", "yes", "t", "true", "on"), True), **dict.fromkeys(("0", "no", "false"), False)}
_BACKENDS = "django.core.mail.backends"
DEFAULT_TIMEOUT = 20.0
MAX_TIMEOUT = 300.0
UNREADABLE = (
    "cannot be read. Write smtp://user:password@host:587/?tls=true, and in the password %23 for #, %25 for %, "
    "%2F for /, %3F for ? and %40 for @"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Django's settings for e-mail."""

    backend: str
    host: str = "localhost"
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    security: Security = "none"
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that the server may take for each answer."""
    file_path: str = ""
    sender: str = ""
    """Empty: see `sender_at`."""


def parse(url: str) -> MailServer:
    """Raises ValueError with a message that shows nothing of the address, because a part of it is a password."""
    if not url.isprintable() or " " in url or "#" in url:  # what urlsplit would drop, or take for another part
        raise ValueError(UNREADABLE)
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:  # the port is no number, or a bracket is missing
        raise ValueError(UNREADABLE) from None
    if not options.keys() <= _OPTIONS:
        raise ValueError(f"its options can be tls, ssl, timeout and {_FROM}. A ? in the password is %3F")
    sender = _sender(options)
    if parts.scheme in _CONSOLE:
        return MailServer(backend=f"{_BACKENDS}.console.EmailBackend", sender=sender)
    if parts.scheme in _FILE:
        return MailServer(backend=f"{_BACKENDS}.filebased.EmailBackend", file_path=_folder(parts), sender=sender)
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with smtp://, smtps://, console: or file:///")
    return _smtp(parts, port, options, sender)


def _smtp(parts: SplitResult, port: int | None, options: Mapping[str, str], sender: str) -> MailServer:
    if not parts.hostname or parts.path not in ("", "/") or port == 0:
        raise ValueError(UNREADABLE)
    user, password = _unquoted(parts.username), _unquoted(parts.password)
    if bool(user) != bool(password):
        raise ValueError("must have both a user and a password, or neither: smtp://user:password@host:587/?tls=true")
    security = _security(parts.scheme, port, options)
    return MailServer(
        backend=f"{_BACKENDS}.smtp.EmailBackend",
        host=parts.hostname,
        port=port or _PORTS[security],
        user=user,
        password=password,
        security=security,
        timeout=_timeout(options),
        sender=sender,
    )


def sender_at(server: MailServer, site_host: str) -> str:
    """Returns the address that mails come from: the given one, the user's, or one at the site's host."""
    if server.sender:
        return server.sender
    if ADDRESS.fullmatch(server.user):
        return server.user
    try:
        ipaddress.ip_address(site_host)
    except ValueError:
        return f"aiworkstation@{site_host}"
    return "aiworkstation@localhost"


def _security(scheme: str, port: int | None, options: Mapping[str, str]) -> Security:
    """smtps:// means TLS from the start on port 465, and STARTTLS on any other: both are in use."""
    starttls, tls = _flag(options, "tls"), _flag(options, "ssl")
    if starttls and tls:
        raise ValueError("can have tls (STARTTLS) or ssl (TLS from the start), not both")
    if starttls or tls:
        return "tls" if tls else "starttls"
    return "starttls" if scheme == "smtps" and port not in (None, 465) else _SCHEMES[scheme]


def _flag(options: Mapping[str, str], name: str) -> bool:
    """`?tls` alone is true."""
    if name not in options:
        return False
    value = _FLAGS.get(options[name].lower())
    if value is None:
        raise ValueError(f"{name} must be true or false")
    return value


def _timeout(options: Mapping[str, str]) -> float:
    try:
        seconds = float(options.get("timeout", DEFAULT_TIMEOUT))
    except ValueError:
        seconds = 0
    if not 1 <= seconds <= MAX_TIMEOUT:
        raise ValueError(f"timeout must be a number of seconds from 1 to {MAX_TIMEOUT:.0f}")
    return seconds


def _sender(options: Mapping[str, str]) -> str:
    sender = options.get(_FROM, "")
    if _FROM in options and not ADDRESS.fullmatch(sender):
        raise ValueError(f"{_FROM} must be an address such as jobs@example.com")
    return sender


def _folder(parts: SplitResult) -> str:
    if parts.netloc or not parts.path.startswith("/") or len(parts.path) == 1:
        raise ValueError("must name a directory with its full path: file:///var/mail/jobs")
    return unquote(parts.path)


def _unquoted(text: str | None) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text or ""):
        raise ValueError(UNREADABLE)
    found = unquote(text or "")
    if not found.isprintable():
        raise ValueError("the user and the password must be printable characters")
    return found
