"""Lists by keyset: a cursor is the signed key of the last row that was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.web.serializers import StrictSerializer, invalid

Row = TypeVar("Row", bound=Model)
LIMIT = 50
MAX_LIMIT = 200


class PageQuery(StrictSerializer):
    """The query string of a list: `limit` and `cursor`, for its own filters to extend."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=LIMIT)
    cursor = serializers.CharField(default="", allow_blank=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_cursor: str | None


def page(rows: QuerySet[Row], order: Sequence[str], *, limit: int = LIMIT, cursor: str = "") -> Page[Row]:
    """Up to `limit` rows behind the cursor. `order` names fields, `-` for falling; together they are unique.

    Raises ValidationError where the cursor is not one of this list's.
    """
    salt = f"cursor:{rows.model._meta.label}:{','.join(order)}"
    if cursor:
        rows = rows.filter(_behind(order, decode(cursor, salt)))
    found = list(rows.order_by(*order)[: limit + 1])
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    key = [_plain(getattr(last, name.lstrip("-"))) for name in order]
    return Page(found[:limit], encode(key, salt))


def encode(key: list[Any], salt: str) -> str:
    return signing.dumps(key, salt=salt)


def decode(cursor: str, salt: str) -> list[Any]:
    """The key in a cursor. Raises ValidationError where the cursor is none, or another list's."""
    try:
        key: list[Any] = signing.loads(cursor, salt=salt)
    except signing.BadSignature as error:
        raise ValidationError({"cursor": invalid("Not a cursor of this list.", "invalid_cursor")}) from error
    return key


def _behind(order: Sequence[str], key: list[Any]) -> Q:
    """(a, b) behind (x, y): a > x, or a = x and b > y."""
    behind = Q()
    same = Q()
    for name, value in zip(order, key, strict=True):
        field, lookup = name.lstrip("-"), "lt" if name.startswith("-") else "gt"
        behind |= same & Q(**{f"{field}__{lookup}": value})
        same &= Q(**{field: value})
    return behind


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)
