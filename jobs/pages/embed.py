"""The panel in other sites: a page for frames, and the script of the element `<background-jobs-panel>`."""

import json
import re
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_safe
from django_htmx.http import HttpResponseClientRefresh

from aiworkstation import BASE_DIR
from aiworkstation.web.conditional import etag, not_modified
from aiworkstation.web.live_fragments import is_poll, page_url
from aiworkstation.web.middleware import PUBLIC, policy_framed_by
from aiworkstation.web.requests import SiteRequest
from aiworkstation.web.theme import THEMES
from jobs.pages.compact_panel import compact_panel, full_panel

MODULES = [BASE_DIR / "clients" / "js" / "src" / f"{name}.js" for name in ("client", "store", "panel")]
"""In the order in which they use each other."""
_IMPORT_OR_EXPORT = re.compile(r"^import .*\n|^export (?=async |class |const |function )", re.MULTILINE)
HOUR, DAY, YEAR = 3600, 24 * 3600, 365 * 24 * 3600


@require_GET
def frame(request: SiteRequest) -> HttpResponse:
    """The panel for frames. A visitor gets a link to the sign-in page, because that page cannot be framed."""
    context: dict[str, Any] = {}
    if request.user.is_authenticated:
        show = compact_panel if "compact" in request.GET else full_panel
        panel = show(request.user, url=page_url(request))
        if is_poll(request):
            return panel.live.answer(request)
        context = {**panel.context, "live": panel.live}
    elif is_poll(request):  # the session ended
        return HttpResponseClientRefresh()
    if (theme := request.GET.get("theme")) in THEMES:
        context["theme"] = theme
    response = render(request, "jobs/embed.html", context)
    if origins := settings.CONFIG.embed_origins:
        response.headers["Content-Security-Policy"] = policy_framed_by(*origins)
        response.xframe_options_exempt = True  # that header cannot list origins
    return response


@require_safe
@gzip_page
def element(request: HttpRequest) -> HttpResponse:
    """One script without dependencies. It has no secrets, and pages of any origin may load it."""
    script = f"{_element()}\ndefineBackgroundJobsPanel({{ baseUrl: {json.dumps(_own_origin(request))} }});\n}})();\n"
    tag = etag(script)
    response = not_modified(request, tag) or HttpResponse(script, content_type="text/javascript; charset=utf-8")
    is_versioned = request.GET.get("v", "") == tag.removeprefix("W/").strip('"')
    lifetime = f"max-age={YEAR}, immutable" if is_versioned else f"max-age={HOUR}, stale-while-revalidate={DAY}"
    response.headers["Cache-Control"] = f"{PUBLIC} {lifetime}"
    response.headers["ETag"] = tag
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _own_origin(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


@cache
def _element() -> str:
    """The modules of the JavaScript client as one function, so that it leaves no names in the page.

    It works as a module and as an ordinary script.
    """
    modules = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    return f'(() => {{\n"use strict";\n{_IMPORT_OR_EXPORT.sub("", modules)}'
