"""Signed requests to outside workers, and callbacks from them: Standard Webhooks both ways.

Each registered worker has its own secret. CALLBACK_SECRET is the secret of the first worker, which is not registered.

A callback also brings the callback token of the attempt that it answers. This token is computed from SECRET_KEY, the
step and the attempt's number, and is not stored. A step that is posted again after a crash has the same callback token,
so an answer to either request counts.
"""

import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from math import floor
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MAX_ID = 255


class BadSignature(Exception):
    """The request is not signed with a known secret, or its timestamp is too old or in the future."""


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def callback_url() -> str:
    return f"{settings.CONFIG.public_url}{settings.CALLBACK_PATH}"


def signed_headers(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """Headers that sign a request with this body. A message that is sent again keeps its id."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode()),
    }


class SignedMessage(NamedTuple):
    """The headers of a verified request. The signature covers whole seconds only."""

    id: str
    signed_at: datetime


def verified(secret: str, headers: Mapping[str, Any], body: bytes) -> SignedMessage:
    """Returns the request's id and time. Raises BadSignature, also for a timestamp five minutes off or more."""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        raise BadSignature(f"{error}.") from error
    except ValueError as error:  # headers that are not of the format, a body that is not UTF-8
        raise BadSignature("The signature's headers cannot be read.") from error
    message_id = str(headers["webhook-id"])
    if len(message_id) > MAX_ID:
        raise BadSignature(f"The webhook-id is longer than {MAX_ID} characters.")
    return SignedMessage(message_id, datetime.fromtimestamp(floor(float(headers["webhook-timestamp"])), UTC))


def callback_token(step: UUID, attempt: int) -> str:
    return _computed_token(step, attempt, settings.SECRET_KEY)


def is_callback_token(token: str, step: UUID, attempt: int) -> bool:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(token, _computed_token(step, attempt, key)) for key in keys)


def _computed_token(step: UUID, attempt: int, key: str | bytes) -> str:
    digest = salted_hmac("workflows.callback", f"{step}:{attempt}", secret=key, algorithm="sha256")
    return str(digest.hexdigest())
