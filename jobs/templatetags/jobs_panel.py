"""The compact panel, for any template: `{% load jobs_panel %}{% jobs_panel %}`."""

from typing import Any

from django import template
from django.http import HttpRequest

from jobs.pages.compact_panel import compact_panel
from workflows.models import WorkflowStep

register = template.Library()


@register.inclusion_tag("jobs/_panel.html", takes_context=True)
def jobs_panel(context: template.Context) -> dict[str, Any]:
    """Shows the signed-in user's unfinished jobs, and nothing to visitors. The page must load htmx and `app.css`."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return {}
    panel = compact_panel(request.user)
    return {**panel.context, "live": panel.live, "csrf_token": context.get("csrf_token")}


@register.simple_tag(takes_context=True)
def approvals_waiting(context: template.Context) -> int:
    """Returns how many steps wait for an answer that the signed-in user may give, up to 100."""
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return 0
    return WorkflowStep.objects.awaiting_approval().answerable_by(request.user)[:100].count()
