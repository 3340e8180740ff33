"""Signed links that answer one question as one user, without signing in.

A link is bound to the user, the step, and the claim under which the step asks: a retry asks anew, under another claim.
It is also bound to the user's address and password, so changing either ends it. It works while the question is open and
the user may answer it, so it is used up by the first answer. It is in no table and in no log.
"""

import base64
import re
from dataclasses import dataclass
from hmac import compare_digest
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.crypto import salted_hmac

from mail.models import Mail
from workflows.models import WorkflowStep

SALT = "mail.links"
_KEY = re.compile(r"([0-9]{1,18})\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who may answer which question."""

    user: User
    step: WorkflowStep


def link_for(mail: Mail) -> str | None:
    """Returns the link of a question. None if it is not open any more, or the user may not answer it any more."""
    if mail.user is None or mail.step_id is None or mail.user.email != mail.address:
        return None
    step = _open_question(mail.step_id, mail.user)
    if step is None or step.token != mail.claim:
        return None
    path = f"{reverse('mail:answer')}?key={key_of(Invitation(mail.user, step))}"
    return f"{settings.CONFIG.public_url}{path}"


def key_of(invitation: Invitation) -> str:
    signature = _signature(invitation, settings.SECRET_KEY)
    return f"{invitation.user.pk}.{invitation.step.pk.hex}.{signature}"


def read_key(key: str) -> Invitation | None:
    """Returns None for any key that cannot be used, whatever the reason."""
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    user = User.objects.filter(pk=int(parts[1])).first()
    step = _open_question(UUID(parts[2]), user) if user else None
    if user is None or step is None:
        return None
    invitation = Invitation(user, step)
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    is_signed = any(compare_digest(parts[3], _signature(invitation, secret)) for secret in keys)
    return invitation if is_signed else None


def _open_question(step_id: UUID, user: User) -> WorkflowStep | None:
    """The step, if it waits for an answer now, and the user may give it."""
    if not user.is_active:
        return None
    open_now = WorkflowStep.objects.awaiting_approval().answerable_by(user).filter(answer_by__gt=Now())
    return open_now.select_related("execution__owner").defer("output").filter(pk=step_id).first()


def _signature(invitation: Invitation, secret: str | bytes) -> str:
    user, step = invitation.user, invitation.step
    bound_to = "\n".join((str(user.pk), user.email, user.password, str(step.pk), str(step.token)))
    digest = salted_hmac(SALT, bound_to, secret=secret, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
