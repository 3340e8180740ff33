"""The compact panel, for any template: `{% load jobs_panel %}{% jobs_panel %}`."""

from typing import Any

from django import template
from django.http import HttpRequest

from jobs.pages.compact_panel import compact_panel

register = template.Library()


@register.inclusion_tag("jobs/_panel.html", takes_context=True)
def jobs_panel(context: template.Context) -> dict[str, Any]:
    """Shows the signed-in user's unfinished jobs, and nothing to visitors. The page must load htmx and `app.css`."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return {}
    panel = compact_panel(request.user)
    return {**panel.context, "live": panel.live, "csrf_token": context.get("csrf_token")}
