"""The secrets of webhooks, and the signatures of Standard Webhooks (standardwebhooks.com).

A secret is computed from SECRET_KEY, the webhook's id and a nonce, and not stored: a copy of the database has none. If
SECRET_KEY is replaced and kept in SECRET_KEY_FALLBACKS, the earlier secrets sign too.
"""

import base64
from datetime import UTC, datetime

from django.conf import settings
from django.utils.crypto import salted_hmac
from standardwebhooks.webhooks import Webhook as Signer

from webhooks.models import Webhook

PREFIX = "whsec_"


def secret_of(webhook: Webhook) -> str:
    return _secret(webhook, webhook.nonce, settings.SECRET_KEY)


def signed_headers(webhook: Webhook, message_id: str, body: bytes) -> dict[str, str]:
    """Returns the headers, with a signature for each secret that is valid now, separated by spaces."""
    now = datetime.now(UTC)
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    secrets = [_secret(webhook, nonce, key) for nonce in webhook.nonces for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(message_id, now, body.decode()) for secret in secrets),
    }


def _secret(webhook: Webhook, nonce: str, key: str | bytes) -> str:
    digest = salted_hmac("webhooks.secret", f"{webhook.pk}:{nonce}", secret=key, algorithm="sha256").digest()
    return PREFIX + base64.b64encode(digest).decode()
