"""EXTERNAL_WORKER: hands the step to another system, which answers by a callback.

The request is posted under the worker's lease; then the step waits and holds nothing. A callback is taken from the
moment when the attempt begins, so one that comes before the request's own answer is not lost; and a worker that dies
in between loses its lease, after which the same message, with the same `webhook-id` and token, is posted again.
"""

import json
from typing import Any, ClassVar

from pydantic import Field

from workflows.errors import NotConfigured, PermanentError
from workflows.network import outbound, webhooks
from workflows.tools import Arguments, OutsideAnswer, StepContext, Tool, register

SILENCE = 3600
MAX_SILENCE = 30 * 24 * 3600


class ExternalWorkerArguments(Arguments):
    """`{{secret.NAME}}` may stand in the URL and the payload."""

    url: str = Field(min_length=1, description="where the worker takes steps; begins with http:// or https://")
    payload: Any = Field(None, description="handed to the worker as it is")
    timeout_seconds: float = Field(
        SILENCE,
        alias="timeoutSeconds",
        gt=0,
        le=MAX_SILENCE,
        description="how long the worker may be silent; each callback starts it anew",
    )


@register
class ExternalWorker(Tool):
    slug = "EXTERNAL_WORKER"
    description = "Hands the step to another system in a signed request and waits for its callback."
    Arguments: ClassVar[type[Arguments]] = ExternalWorkerArguments
    is_answered_outside = True

    def check_configured(self) -> None:
        if not webhooks.is_configured():
            raise NotConfigured(
                "Outside workers are not configured: set CALLBACK_SECRET to random bytes in base64, here and there."
            )

    async def run(self, context: StepContext, arguments: ExternalWorkerArguments) -> OutsideAnswer:
        token = webhooks.callback_token(context.step_id, context.attempt)
        body = json.dumps(
            {
                "executionId": str(context.execution_id),
                "stepId": str(context.step_id),
                "attempt": context.attempt,
                "callbackToken": token,
                "callbackUrl": webhooks.callback_url(),
                "payload": arguments.payload,
            }
        )
        headers = webhooks.signed_headers(f"{context.step_id}-{context.attempt}", body)
        response = await outbound.send(
            outbound.Request(
                method="POST",
                url=arguments.url,
                headers={"content-type": "application/json", "idempotency-key": context.idempotency_key, **headers},
                body=body.encode(),
                sensitive=frozenset({token}),
                follows=False,
            )
        )
        outbound.raise_for_status(response)
        if response.status >= 300:
            raise PermanentError(
                f"{response.host} answered {response.status}. Redirects are not followed: give the worker's own URL.",
                code=f"http_{response.status}",
            )
        return OutsideAnswer(arguments.timeout_seconds)
