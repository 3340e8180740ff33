"""Audit events of changes to users, groups and permissions, wherever they are made: Django's own signals report them.

They have the values before and after. A password is never among them. The event only shows that it changed.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from aiworkstation.audit.origin import current_actor
from aiworkstation.audit.record import record

NOUNS: dict[type[models.Model], str] = {User: "user", Group: "group", Permission: "permission"}
UNRECORDED = ("id", "password", "last_login", "date_joined")
"""Sign-ins have events of their own."""
_BEFORE = "_audit_before"


def connect() -> None:
    for model in NOUNS:
        pre_save.connect(_about_to_save, sender=model, dispatch_uid=f"audit {model}")
        post_save.connect(_saved, sender=model, dispatch_uid=f"audit {model}")
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"audit {model}")
    for relation in (User.groups, User.user_permissions, Group.permissions):
        m2m_changed.connect(_related, sender=relation.through, dispatch_uid=f"audit {relation.through}")


def _about_to_save(*, sender: type[models.Model], instance: models.Model, raw: bool = False, **signal: Any) -> None:
    before = None if raw or instance.pk is None else sender._default_manager.filter(pk=instance.pk).values().first()
    setattr(instance, _BEFORE, before)


def _saved(*, sender: type[models.Model], instance: models.Model, created: bool, **signal: Any) -> None:
    """Compares with the stored row and not with the instance, because `update_fields` may leave fields out."""
    before = getattr(instance, _BEFORE, None) or {}
    after = sender._default_manager.filter(pk=instance.pk).values().first() or {}
    changes: dict[str, Any] = {
        name: [before.get(name), value]
        for name, value in after.items()
        if name not in UNRECORDED and before.get(name) != value
    }
    noun = NOUNS[sender]
    has_new_password = bool(before) and before.get("password") != after.get("password")
    if created or changes:
        _record(noun, "added" if created else "changed", instance, changes)
    if has_new_password:
        _record(noun, "password_changed", instance, {"username": after.get("username")})


def _deleted(*, sender: type[models.Model], instance: models.Model, **signal: Any) -> None:
    _record(NOUNS[sender], "deleted", instance, {"name": str(instance)})


def _related(
    *,
    instance: models.Model,
    action: str,
    reverse: bool,
    model: type[models.Model],
    pk_set: set[int] | None,
    **signal: Any,
) -> None:
    """`user.groups.add(group)` and, in reverse, `group.user_set.add(user)`. The signal for `clear` names none."""
    if action in ("post_add", "post_remove") and pk_set:
        names = sorted(str(each) for each in model._default_manager.filter(pk__in=pk_set))
    elif action == "pre_clear":
        names = sorted(str(each) for each in _linked(instance, model, reverse=reverse))
    else:
        return
    if names:
        change = "added" if action == "post_add" else "removed"
        _record(NOUNS[type(instance)], f"{NOUNS[model]}s_{change}", instance, {f"{NOUNS[model]}s": names})


def _linked(instance: models.Model, model: type[models.Model], *, reverse: bool) -> Iterable[models.Model]:
    """Returns the objects that `clear` is about to remove."""
    name = {User: "user_set", Group: "group_set"}.get(model) if reverse else None
    forward = {Group: "groups", Permission: "permissions" if isinstance(instance, Group) else "user_permissions"}
    rows: Iterable[models.Model] = getattr(instance, name or forward[model]).all()
    return rows


def _record(noun: str, happened: str, instance: models.Model, changes: dict[str, Any]) -> None:
    record(current_actor(), f"{noun}.{happened}", f"{noun}:{instance.pk}", changes)
