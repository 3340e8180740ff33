"""The compact panel, for any template: `{% load jobs_panel %}{% jobs_panel %}`."""

from typing import Any

from django import template
from django.http import HttpRequest

from jobs.pages import live_parts

register = template.Library()


@register.inclusion_tag("jobs/_panel.html", takes_context=True)
def jobs_panel(context: template.Context) -> dict[str, Any]:
    """The signed-in user's unfinished jobs; nothing for others. The page loads htmx and `app.css`."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return {}
    compact = live_parts.compact(request.user)
    return {**compact.context, "live": compact.live, "csrf_token": context.get("csrf_token")}
