"""The shared parts of the lookups of jobs and documents: ids, owners, and the filters of a list."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, Q
from django.http import Http404

from aiworkstation.access.models import OwnedQuerySet
from aiworkstation.access.not_yours import NotYours

Caller = AbstractBaseUser | AnonymousUser
ALL = "all"
"""The value of the filters `owner` and `status` that selects every one."""

Rows = TypeVar("Rows", bound=OwnedQuerySet[Any])
Row = TypeVar("Row", bound=Model)


def as_uuid(text: str) -> UUID | None:
    """Returns the UUID if it is written in the usual form. Other spellings are no ids."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None


def get_visible(rows: OwnedQuerySet[Row], user: Caller, key: UUID | None, noun: str) -> Row:
    """Returns the row with this key.

    Raises Http404 if there is none, and NotYours, which looks the same, if the user may not see it.
    """
    found = rows.visible_to(user).filter(pk=key).first() if key else None
    if found is not None:
        return found
    if key and rows.filter(pk=key).exists():
        raise NotYours(f"{noun}:{key}")
    raise Http404(f"There is no such {noun}.")


def owned_by(rows: Rows, user: Caller, owner: str) -> Rows:
    """Returns the rows of `owner` (a username or `all`, by default the user) that the user may see."""
    rows = rows.visible_to(user)
    if not owner:
        return rows.filter(owner_id=user.pk)
    return rows if owner == ALL else rows.filter(owner__username=owner)


def filter_by_labels(rows: Rows, filters: Mapping[str, Any], *, type_field: str) -> Rows:
    """Returns the rows that pass the filters of `labels_match`."""
    return rows.filter(labels_match(filters, type_field=type_field))


def labels_match(filters: Mapping[str, Any], *, type_field: str) -> Q:
    """The filters `type`, `mode`, `project_id` and `tag`. Empty ones are ignored."""
    fields = {"type": type_field, "mode": "mode", "project_id": "project_id"}
    wanted = {field: filters[name] for name, field in fields.items() if filters.get(name)}
    if tag := filters.get("tag"):
        wanted["tags__contains"] = [tag]
    return Q(**wanted)
