"""EXTERNAL_WORKER: hands the step to another system, which answers with a callback.

The request is posted while our worker holds the step's lease. Then the step waits and holds nothing.

Callbacks are accepted from the beginning of the attempt, so one that arrives before the response to the request is not
lost. If our worker dies in between, its lease runs out and the same message is posted again, with the same `webhook-id`
and the same callback token.
"""

from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from workflows.errors import NotConfigured, PermanentError
from workflows.network import http_client, webhooks
from workflows.tools import Arguments, OutsideAnswer, StepContext, Tool, register

DEFAULT_SILENCE = 3600
MAX_SILENCE = 30 * 24 * 3600


class ExternalWorkerArguments(Arguments):
    """The payload may contain `{{secret.NAME}}`, granted as `body:payload` and the keys below it."""

    url: str = Field(min_length=1, description="where the worker accepts steps; begins with http:// or https://")
    payload: Any = Field(None, description="sent to the worker unchanged")
    timeout_seconds: float = Field(
        DEFAULT_SILENCE,
        alias="timeoutSeconds",
        gt=0,
        le=MAX_SILENCE,
        description="how long the worker may be silent; each callback restarts this time",
    )


@register
class ExternalWorker(Tool):
    slug = "EXTERNAL_WORKER"
    description = "Hands the step to another system in a signed request and waits for its callback."
    Arguments: ClassVar[type[Arguments]] = ExternalWorkerArguments
    is_answered_outside = True
    has_outside_effects = True
    secrets_in: ClassVar[frozenset[str]] = frozenset({"payload"})

    def check_configured(self) -> None:
        if not webhooks.is_configured():
            raise NotConfigured(
                "Outside workers are not configured: set CALLBACK_SECRET to random bytes in base64,"
                " to the same value here and in the worker."
            )

    def destinations(self, context: StepContext, arguments: ExternalWorkerArguments) -> list[str]:
        return [http_client.host_and_port(arguments.url)]

    async def run(self, context: StepContext, arguments: ExternalWorkerArguments) -> OutsideAnswer:
        callback_token = webhooks.callback_token(context.step_id, context.attempt)
        task = {
            "executionId": str(context.execution_id),
            "stepId": str(context.step_id),
            "attempt": context.attempt,
            "callbackToken": callback_token,
            "callbackUrl": webhooks.callback_url(),
            "payload": arguments.payload,
        }
        response = await http_client.send(
            http_client.Request(
                method="POST",
                url=arguments.url,
                headers={"idempotency-key": context.idempotency_key},
                json=task,
                sign=partial(webhooks.signed_headers, f"{context.step_id}-{context.attempt}"),
                sensitive=frozenset({callback_token}),
                follows=False,
            )
        )
        http_client.raise_for_status(response)
        if response.status >= 300:
            raise PermanentError(
                f"{response.host} answered {response.status}. Redirects are not followed: give the final URL.",
                code=f"http_{response.status}",
            )
        return OutsideAnswer(arguments.timeout_seconds)
