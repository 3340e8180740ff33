"""Parts of a page that follow what they show.

A page names its fragments, each with the values that its template shows. While something runs, the element of
`web/_live.html` asks each second, and sends along what the page has. The answer holds the fragments that differ,
swapped out of band by their ids, so the rest of the page keeps its focus, selection and open details; when
nothing differs it is a 204, which swaps nothing.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

SEEN = "seen"
TOKEN_LENGTH = 8


@dataclass(frozen=True)
class Fragment:
    """`name` is the id of the template's outer element; `version` is any plain data, another one for another look."""

    name: str
    template: str
    context: Mapping[str, Any]
    version: object

    @property
    def token(self) -> str:
        digest = hashlib.sha256(f"{self.name} {self.version!r}".encode()).digest()
        return base64.urlsafe_b64encode(digest)[:TOKEN_LENGTH].decode()


@dataclass(frozen=True)
class Live:
    """The fragments of a page. `name` is the id of the element that asks, at `url`."""

    name: str
    url: str
    fragments: list[Fragment]
    is_running: bool

    @property
    def seen(self) -> str:
        """What the page has: the fragments' tokens, and whether it goes on asking."""
        return "".join(fragment.token for fragment in self.fragments) + ("+" if self.is_running else "")

    @property
    def poll_url(self) -> str:
        separator = "&" if "?" in self.url else "?"
        return f"{self.url}{separator}{urlencode({SEEN: self.seen})}"

    def answer(self, request: HttpRequest) -> HttpResponse:
        seen = request.GET.get(SEEN, "")
        if seen == self.seen:
            return HttpResponse(status=204)
        known = {seen[at : at + TOKEN_LENGTH] for at in range(0, len(seen), TOKEN_LENGTH)}
        changed = [fragment for fragment in self.fragments if fragment.token not in known]
        parts = [
            render_to_string(fragment.template, {**fragment.context, "oob": True}, request) for fragment in changed
        ]
        parts.append(render_to_string("web/_live.html", {"live": self, "oob": True}, request))
        return HttpResponse("".join(parts))


def is_poll(request: HttpRequest) -> bool:
    return SEEN in request.GET


def page_url(request: HttpRequest) -> str:
    """This page's address with its own parameters, to be asked for again."""
    query = request.GET.copy()
    query.pop(SEEN, None)
    return f"{request.path}?{query.urlencode()}" if query else request.path
