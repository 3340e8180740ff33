"""Live fragments: parts of a page that follow what they show.

A page lists its fragments, each with a version: the values that its template shows. While something runs, the element
of `web/_live.html` polls every second and sends the versions that the page has. The answer holds the fragments whose
version differs, swapped out of band by their ids, so the rest of the page keeps its focus, selection and open details.
If nothing differs, the answer is a 204, which swaps nothing.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

REFRESH_EVENT = "refresh-fragments"
"""An answer that triggers this event makes the page poll at once (`web/_live.html` has the same name)."""
SEEN = "seen"
DIGEST_LENGTH = 8


@dataclass(frozen=True)
class Fragment:
    """`name` is the id of the template's outer element.

    `version` is plain data whose `repr` changes whenever the fragment looks different.
    """

    name: str
    template: str
    context: Mapping[str, Any]
    version: object

    @property
    def digest(self) -> str:
        digest = hashlib.sha256(f"{self.name} {self.version!r}".encode()).digest()
        return base64.urlsafe_b64encode(digest)[:DIGEST_LENGTH].decode()


def news(name: str, text: str) -> Fragment:
    """A live region, which screen readers announce when its text changes: keep it to changes of state.

    The page includes `web/_news.html` with this `name`, and the text as `news`.
    """
    return Fragment(name, "web/_news.html", {"name": name, "news": text}, text)


@dataclass(frozen=True)
class LiveFragments:
    """The fragments of a page. `name` is the id of the element that polls `url`."""

    name: str
    url: str
    fragments: list[Fragment]
    is_running: bool
    idle_seconds: int | None = None
    """How often it polls while nothing runs. None: only on an event."""

    @property
    def seen(self) -> str:
        """The state of the page: the digests of its fragments, and whether it continues to poll."""
        return "".join(fragment.digest for fragment in self.fragments) + ("+" if self.is_running else "")

    @property
    def poll_url(self) -> str:
        separator = "&" if "?" in self.url else "?"
        return f"{self.url}{separator}{urlencode({SEEN: self.seen})}"

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answers a poll."""
        seen = request.GET.get(SEEN, "")
        if seen == self.seen:
            return HttpResponse(status=204)
        known = {seen[at : at + DIGEST_LENGTH] for at in range(0, len(seen), DIGEST_LENGTH)}
        changed = [fragment for fragment in self.fragments if fragment.digest not in known]
        parts = [
            render_to_string(fragment.template, {**fragment.context, "oob": True}, request) for fragment in changed
        ]
        parts.append(render_to_string("web/_live.html", {"live": self, "oob": True}, request))
        return HttpResponse("".join(parts))


def is_poll(request: HttpRequest) -> bool:
    return SEEN in request.GET


def page_url(request: HttpRequest, **more: str) -> str:
    """Returns the address of this page with its own parameters and `more` that are not empty, for its polls."""
    query = request.GET.copy()
    query.pop(SEEN, None)
    for name, value in more.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"{request.path}?{query.urlencode()}" if query else request.path
