"""Outside workers: to which address a step may be posted, with which secret, and which worker sent a callback.

Staff register workers in the admin. While there is none, a step may name any address, and CALLBACK_SECRET signs: that
is the *first worker*. It keeps the steps that were posted to addresses which no registered worker has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings

from workflows.errors import NotConfigured, PermanentError
from workflows.models import OutsideWorker, WorkflowStep
from workflows.network import webhooks


class Receiver(NamedTuple):
    url: str
    secret: str


def receiver(name: str, url: str, owner_id: int) -> Receiver:
    """Returns where a step of this owner is posted. Reads the database.

    Raises NotConfigured, or PermanentError with `unknown_worker`, even if the worker exists but is granted to others.
    """
    if not name and not OutsideWorker.objects.exists():
        if not settings.CONFIG.callback_secret:
            raise NotConfigured(
                "There is no outside worker: register one in the admin, or set CALLBACK_SECRET to random bytes in"
                " base64, to the same value here and in the worker."
            )
        return Receiver(url, settings.CONFIG.callback_secret)
    usable = OutsideWorker.objects.usable_by(owner_id)
    found = usable.filter(name=name).first() if name else usable.filter(addresses__contains=[url]).first()
    if found is None or (url and url not in found.addresses):
        raise PermanentError(
            f"There is no outside worker {' at '.join(filter(None, (name, url)))} that the job's owner may use."
            " Staff register workers, their addresses and their groups in the admin.",
            code="unknown_worker",
        )
    return Receiver(url or found.addresses[0], found.secret)


@dataclass(frozen=True)
class Sender:
    """Who signed a callback. `worker` is None for the first worker."""

    worker: OutsideWorker | None

    @property
    def needs_token(self) -> bool:
        return self.worker is not None

    def own(self, steps: Iterable[Any]) -> list[WorkflowStep]:
        """The steps that were posted to the sender. Each has `worker_name` and `worker_url` from its arguments."""
        owners = {url: worker.pk for worker in OutsideWorker.objects.all() for url in worker.addresses}
        return [step for step in steps if self._has(step.worker_name or "", step.worker_url, owners)]

    def _has(self, name: Any, url: Any, owners: Mapping[str, int]) -> bool:
        if name:
            return self.worker is not None and self.worker.name == name
        owner = owners.get(url) if isinstance(url, str) else None
        return owner == (self.worker.pk if self.worker else None)


def verified(headers: Mapping[str, Any], body: bytes) -> tuple[webhooks.SignedMessage, Sender]:
    """Returns what was signed, and who signed it. Raises BadSignature."""
    workers = list(OutsideWorker.objects.all())
    known = [(worker.secret, Sender(worker)) for worker in workers]
    if settings.CONFIG.callback_secret:
        known.append((settings.CONFIG.callback_secret, Sender(None)))
    failure = webhooks.BadSignature(
        "No callback can be verified: no outside worker is registered, and CALLBACK_SECRET is not set."
    )
    for secret, sender in known:
        try:
            return webhooks.verified(secret, headers, body), sender
        except webhooks.BadSignature as error:
            failure = error
    raise failure
