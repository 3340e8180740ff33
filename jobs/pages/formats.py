"""Figures as pages show them. Without a figure, a dash."""

from decimal import Decimal

from aiworkstation.web.templatetags.times import duration

NONE = "–"


def whole(number: float | None) -> str:
    return NONE if number is None else f"{number:,.0f}"


def share(part: float | None) -> str:
    """A part of 1, in percent."""
    return NONE if part is None else f"{100 * part:.1f} %"


def milliseconds(length: float | None) -> str:
    if length is None:
        return NONE
    return f"{length:.0f} ms" if length < 1000 else duration(round(length))


def dollars(amount: float | Decimal | None) -> str:
    """Small amounts are shown with four places: a call may cost less than a cent."""
    if amount is None:
        return NONE
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"
