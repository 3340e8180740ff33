"""Keyset pagination: a cursor is the signed key of the last row of a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.web.requests import MAX_TEXT
from aiworkstation.web.serializers import StrictSerializer, invalid

Row = TypeVar("Row", bound=Model)
LIMIT = 50
MAX_LIMIT = 200


class PageQuery(StrictSerializer):
    """The query string of a list: `limit` and `cursor`. A subclass adds the list's own filters."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=LIMIT)
    cursor = serializers.CharField(default="", allow_blank=True)


class LabelFilters(StrictSerializer):
    """The filters that the lists of jobs and documents share."""

    type = serializers.CharField(required=False)
    mode = serializers.CharField(required=False)
    projectId = serializers.CharField(required=False, source="project_id")
    tag = serializers.CharField(required=False)
    q = serializers.CharField(required=False, max_length=MAX_TEXT)
    owner = serializers.CharField(required=False)


class FilterQuery(PageQuery, LabelFilters):
    """The query string of such a list. A subclass adds its `status`."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_cursor: str | None


def page(rows: QuerySet[Row], order: Sequence[str], *, limit: int = LIMIT, cursor: str = "") -> Page[Row]:
    """Returns up to `limit` rows after the cursor.

    `order` names fields, with `-` for descending order; together they must be unique. Raises ValidationError if the
    cursor belongs to another list.
    """
    salt = f"cursor:{rows.model._meta.label}:{','.join(order)}"
    if cursor:
        rows = rows.filter(_after(order, decode(cursor, salt)))
    found = list(rows.order_by(*order)[: limit + 1])
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    key = [_as_json(getattr(last, name.lstrip("-"))) for name in order]
    return Page(found[:limit], encode(key, salt))


def encode(key: list[Any], salt: str) -> str:
    return signing.dumps(key, salt=salt)


def decode(cursor: str, salt: str) -> list[Any]:
    """Returns the key in a cursor. Raises ValidationError if it is no cursor, or one of another list."""
    try:
        key: list[Any] = signing.loads(cursor, salt=salt)
    except signing.BadSignature as error:
        wrong = invalid("This is not a cursor of this list. Use the nextCursor of one of its pages.", "invalid_cursor")
        raise ValidationError({"cursor": wrong}) from error
    return key


def _after(order: Sequence[str], key: list[Any]) -> Q:
    """(a, b) comes after (x, y) if a > x, or a = x and b > y."""
    after = Q()
    same = Q()
    for name, value in zip(order, key, strict=True):
        field, lookup = name.lstrip("-"), "lt" if name.startswith("-") else "gt"
        after |= same & Q(**{f"{field}__{lookup}": value})
        same &= Q(**{field: value})
    return after


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)
