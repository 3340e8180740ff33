"""The checks behind `/health/ready`: can the application do its work?

Each costs one short query. Details name no host, user or password: anybody may read them.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.db import Error, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from workflows.engine.why_waiting import alive_workers, no_worker, slot_use
from workflows.models import Pause, Worker
from workflows.monitoring.queue_state import oldest_due_by_slot

logger = logging.getLogger(__name__)

STUCK_AFTER = timedelta(minutes=15)
"""If a job has been due for this long while a slot for it is free, no worker takes it."""
PATIENCE = "SET LOCAL statement_timeout = '3s'"


@dataclass(frozen=True, slots=True)
class Check:
    ok: bool
    detail: str


def readiness() -> dict[str, Any]:
    """Returns `{"status": "ready" | "not_ready", "checks": {name: {"ok", "detail"}}}`."""
    found = _checks()
    status = "ready" if all(check.ok for check in found.values()) else "not_ready"
    return {"status": status, "checks": {name: asdict(check) for name, check in found.items()}}


def _checks() -> dict[str, Check]:
    checks: dict[str, Callable[[], Check]] = {"migrations": _migrations, "workers": _workers, "queue": _queue}
    found: dict[str, Check] = {}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(PATIENCE)
            found["database"] = Check(True, "PostgreSQL answers.")
            for name, check in checks.items():
                found[name] = check()
                if name == "migrations" and not found[name].ok:
                    break  # the other checks may need what is missing
    except Error as error:
        logger.warning("not ready: %s", str(error).strip())
        found["database"] = Check(False, "PostgreSQL does not answer as it should. The log has the reason.")
    return found | {name: Check(False, "Not checked.") for name in checks if name not in found}


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations or {})


def _migrations() -> Check:
    missing = _known_migrations() - set(MigrationRecorder(connection).applied_migrations())
    if missing:
        return Check(False, f"{len(missing)} migrations are not applied. Run `manage.py prepare`.")
    return Check(True, "All migrations are applied.")


def _workers() -> Check:
    workers = alive_workers()
    if workers:
        return Check(True, f"{len(workers)} alive.")
    last = Worker.objects.order_by("-last_beat").values_list("last_beat", flat=True).first()
    seen = f" The last sign of life was {(timezone.now() - last).total_seconds():.0f} s ago." if last else ""
    return Check(False, f"{no_worker()}{seen}")


def _queue() -> Check:
    ages = oldest_due_by_slot()
    if not ages:
        return Check(True, "No job is due.")
    oldest = max(ages.values())
    detail = f"The oldest due job has waited for {oldest.total_seconds():.0f} s."
    if pauses := list(Pause.objects.all()):
        # Due jobs may be held back by any of them.
        return Check(True, f"{detail} {_summary(pauses)}")
    late = [kind for kind, age in ages.items() if age > STUCK_AFTER]
    slots = slot_use(alive_workers()) if late else {}
    if stuck := [kind for kind in late if kind in slots and slots[kind].busy < slots[kind].total]:
        return Check(False, f"{detail} No worker takes it, although slots of the kind {', '.join(stuck)} are free.")
    return Check(True, detail)


def _summary(pauses: list[Pause]) -> str:
    """Without names and reasons: anybody may read this."""
    if any(pause.kind == Pause.Kind.ALL for pause in pauses):
        return "All work is paused."
    return f"Pauses of tools or projects: {len(pauses)}."
