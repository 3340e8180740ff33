"""The dashboard, for any template: `{% load jobs_dashboard %}{% jobs_dashboard "7d" %}`."""

from typing import Any

from django import template
from django.http import HttpRequest

from jobs.pages.dashboard import DashboardFilter, dashboard_context

register = template.Library()


@register.inclusion_tag("jobs/_dashboard.html", takes_context=True)
def jobs_dashboard(context: template.Context, range: str = "") -> dict[str, Any]:
    """Shows the figures of a period, and nothing to visitors. Staff see everybody's.

    The page must load htmx and `app.css`, and include `jobs/_dashboard_scripts.html` in its head.
    """
    request: HttpRequest | None = context.get("request")
    if request is None or not request.user.is_authenticated:
        return {}
    return dashboard_context(DashboardFilter(request.user, range=range))
