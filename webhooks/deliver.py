"""Starts jobs that deliver messages."""

import json
from datetime import datetime
from typing import Any

from aiworkstation.web.serializers import wire_time
from webhooks.models import Delivery, Webhook
from workflows import engine
from workflows.steps import NewExecution, NewStep

JOB_TYPE = "webhook-delivery"
TOOL = "WEBHOOK_DELIVERY"
CURSOR = "webhooks"
"""How far the audit trail has been read for webhooks."""
DELAYS = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds before each further attempt, as Standard Webhooks recommends: three days in all."""


def message(event_type: str, at: datetime, data: dict[str, Any]) -> str:
    """The body of a delivery."""
    return json.dumps({"type": event_type, "timestamp": wire_time(at), "data": data}, ensure_ascii=False)


def store(webhook: Webhook, event_type: str, body: str, *, actor: str, event_id: int | None = None) -> Delivery:
    """Stores a delivery with its job, in the caller's transaction. A test is tried once."""
    delivery = Delivery(webhook=webhook, event_id=event_id, type=event_type, body=body)
    # The job first, because the row has its id. No worker sees one without the other: both appear in one commit.
    start_job(delivery, actor=actor)
    delivery.save(force_insert=True)
    return delivery


def start_job(delivery: Delivery, *, actor: str) -> None:
    """Sets the delivery's job, which the caller stores."""
    step = NewStep(
        "Deliver",
        tool=TOOL,
        arguments={"deliveryId": str(delivery.pk)},
        max_attempts=1 if delivery.is_test else len(DELAYS) + 1,
    )
    webhook = delivery.webhook
    name = f"{delivery.type} to {webhook.host}"[:300]
    new = NewExecution(webhook.owner_id, JOB_TYPE, name, [step], project_id=webhook.project_id)
    delivery.execution_id = engine.start(new, actor=actor)
