"""Points in time and durations as pages show them."""

import re
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

WIRE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


@register.filter
def moment(at: datetime | None, precision: str = "minutes") -> SafeString | str:
    """Shows a time in UTC. `static/js/times.js` converts it to the reader's time zone.

    `precision` is "minutes" or "seconds".
    """
    if at is None:
        return ""
    at = at.astimezone(UTC)
    text = date_format(at, "j M Y, H:i:s" if precision == "seconds" else "j M Y, H:i")
    return format_html(
        '<time datetime="{}" data-precision="{}">{} UTC</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", precision, text
    )


@register.filter
def with_moments(sentence: str) -> SafeString:
    """Shows a sentence whose times are written as in the API."""
    texts = WIRE_TIME.split(sentence)
    moments = [moment(datetime.fromisoformat(found), "seconds") for found in WIRE_TIME.findall(sentence)]
    return format_html_join("", "{}{}", zip(texts, [*moments, ""], strict=True))


@register.filter
def duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@register.filter
def elapsed(since: datetime) -> SafeString:
    """Shows the time since then. `static/js/times.js` keeps it running."""
    passed = max(round((timezone.now() - since).total_seconds() * 1000), 0)
    return format_html(
        '<span data-since="{}">{}</span>', f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", duration(passed)
    )
