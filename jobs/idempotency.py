"""One job for a request that arrives several times: the requests of 24 hours that have the same key."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from aiworkstation.web.errors import Conflict
from jobs.models import IdempotencyKey
from workflows.models import WorkflowExecution

KEY = "idempotencyKey"
MAX_KEY = 255
KEY_LIFETIME = timedelta(hours=24)


class KeyReused(Conflict):
    """The key came with another request before."""

    default_detail = "This idempotency key was used with another body. Use a new key."
    default_code = "idempotency_key_reused"


def start_once(user: User, key: str, request: Any, start: Callable[[], UUID]) -> tuple[WorkflowExecution, bool]:
    """Returns the job that `start` starts, or the first job of the key, and whether it is new.

    `request` is JSON. With an empty key, every call starts a job. Raises KeyReused, and what `start` raises.
    """
    digest = _digest(request) if key else ""
    # Without a lock: most repetitions come after the first request is done, and cost one query.
    if key and (first := _first_job(user, key, digest)):
        return first, False
    try:
        with transaction.atomic():
            started = start()
            if key:
                # In the transaction of the job: if two requests come at once, the constraint refuses the second, and
                # its job with it.
                _remember(user, key, digest, started)
            return WorkflowExecution.objects.select_related("owner").get(pk=started), True
    except IntegrityError:
        # Another request with this key was stored in the meantime: the unique constraint decided the race.
        if not key or not (first := _first_job(user, key, digest)):
            raise
        return first, False


def _digest(request: Any) -> str:
    """Returns the same digest for the same JSON: spaces, the order of keys and the idempotency key do not count."""
    rest = {name: value for name, value in request.items() if name != KEY} if isinstance(request, Mapping) else request
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _first_job(user: User, key: str, digest: str) -> WorkflowExecution | None:
    recent = IdempotencyKey.objects.filter(owner=user, key=key, created_at__gt=timezone.now() - KEY_LIFETIME)
    found = recent.select_related("execution__owner").first()
    if found is None:
        return None
    if found.body_sha256 != digest:
        raise KeyReused
    return found.execution


def _remember(user: User, key: str, digest: str, execution_id: UUID) -> None:
    # An expired key would still violate the unique constraint.
    IdempotencyKey.objects.filter(owner=user, key=key, created_at__lte=timezone.now() - KEY_LIFETIME).delete()
    IdempotencyKey.objects.create(owner=user, key=key, body_sha256=digest, execution_id=execution_id)
