"""The shared parts of the lookups of jobs and documents: ids, owners, and the filters of a list."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q

from aiworkstation.access.models import OwnedQuerySet

Caller = AbstractBaseUser | AnonymousUser
ALL = "all"
"""The value of the filters `owner` and `status` that selects every one."""

Rows = TypeVar("Rows", bound=OwnedQuerySet[Any])


def as_uuid(text: str) -> UUID | None:
    """Returns the UUID if it is written in the usual form. Other spellings are no ids."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return key if str(key) == text else None


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
