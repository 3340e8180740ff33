"""The colors of the pages: light, dark, or what the reader's system prefers. A cookie remembers the choice."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

COOKIE = "theme"
SYSTEM = "system"
THEMES = ("light", "dark", SYSTEM)
A_YEAR = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    chosen = request.COOKIES.get(COOKIE, SYSTEM)
    return chosen if chosen in THEMES else SYSTEM


def theme_context(request: HttpRequest) -> dict[str, object]:
    """A context processor."""
    return {"theme": theme_of(request), "themes": THEMES}


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remembers the choice, and returns to the page on which it was made."""
    page = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    response = redirect(page if is_ours else settings.LOGIN_REDIRECT_URL)
    chosen = request.POST.get("theme")
    if chosen in THEMES:
        response.set_cookie(
            COOKIE, chosen, max_age=A_YEAR, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
        )
    return response
