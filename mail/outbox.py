"""Stores mails. `postman` sends them."""

import re
import unicodedata
from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.models import User

from mail.models import Mail, Purpose

SITE = "AI Workstation"
MAX_SUBJECT = 150
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories: control and format characters can hide text, or show it in another order."""


def is_configured() -> bool:
    return bool(settings.CONFIG.email_url)


def post(purpose: Purpose, addresses: Iterable[str], subject: str, body: str) -> None:
    """Stores a mail to each address, in the caller's transaction. Without a mail server, it does nothing."""
    if is_configured():
        Mail.objects.bulk_create(
            Mail(purpose=purpose, address=address, subject=subject_line(subject), body=body)
            for address in dict.fromkeys(addresses)
        )


def post_to(user: User, purpose: Purpose, subject: str, body: str) -> None:
    """The same for a user, if they can get mail."""
    if not unreachable(user):
        post(purpose, [user.email], subject, body)


def unreachable(user: User) -> str:
    """Returns why no mail can be sent to a user. Empty if it can."""
    if not user.is_active:
        return "deactivated"
    return "" if user.email else "no e-mail address"


def subject_line(text: str) -> str:
    return f"[{SITE}] {one_line(text, MAX_SUBJECT)}"


def one_line(text: str, most: int) -> str:
    """Text of users in a line of ours: without line breaks, and at most so long."""
    line = " ".join(visible(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(text: str, most: int) -> str:
    """Text of users as a block in which every line is marked, so that nothing in it looks like a line of ours."""
    shown = visible(text[: most + 1])
    cut = "\n… (the rest is on the page)" if len(text) > most else ""
    return "\n".join(f"  | {line}" for line in re.split(r"\r\n|\r|\n", shown[:most] + cut))


def visible(text: str) -> str:
    """Replaces characters that are not seen, except line breaks and tabs."""
    return "".join(
        char if char in "\r\n\t" or unicodedata.category(char) not in _INVISIBLE else "\ufffd" for char in text
    )
