"""Points in time and lengths of time, as people read them."""

from datetime import UTC, datetime

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def moment(at: datetime | None, precision: str = "minutes") -> SafeString | str:
    """In UTC; `static/app.js` puts it into the reader's own time zone. `precision` is "minutes" or "seconds"."""
    if at is None:
        return ""
    at = at.astimezone(UTC)
    text = date_format(at, "j M Y, H:i:s" if precision == "seconds" else "j M Y, H:i")
    return format_html(
        '<time datetime="{}" data-precision="{}">{} UTC</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", precision, text
    )


@register.filter
def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
