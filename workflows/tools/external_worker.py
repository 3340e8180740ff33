"""EXTERNAL_WORKER: hands the step to another system, which answers with a callback.

The request is posted while our worker holds the step's lease. Then the step waits and holds nothing.

Callbacks are accepted from the beginning of the attempt, so one that arrives before the response to the request is not
lost. If our worker dies in between, its lease runs out and the same message is posted again, with the same `webhook-id`
and the same callback token.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from workflows.errors import PermanentError
from workflows.network import http_client, outside_workers, webhooks
from workflows.tools import Arguments, OutsideAnswer, StepContext, Tool, register

DEFAULT_SILENCE = 3600
MAX_SILENCE = 30 * 24 * 3600


class ExternalWorkerArguments(Arguments):
    """The payload may contain `{{secret.NAME}}`, granted as `body:payload` and the keys below it."""

    worker: str = Field("", max_length=60, description="the name of a registered worker")
    url: str = Field("", description="where the worker accepts steps: an address of the registered worker")
    payload: Any = Field(None, description="sent to the worker unchanged")
    timeout_seconds: float = Field(
        DEFAULT_SILENCE,
        alias="timeoutSeconds",
        gt=0,
        le=MAX_SILENCE,
        description="how long the worker may be silent; each callback restarts this time",
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.worker and not self.url:
            raise ValueError("name the worker")
        return self


@register
class ExternalWorker(Tool):
    slug = "EXTERNAL_WORKER"
    description = "Hands the step to another system in a signed request and waits for its callback."
    Arguments: ClassVar[type[Arguments]] = ExternalWorkerArguments
    form_fields: ClassVar[Mapping[str, str]] = {"worker": "outside-worker", "url": "line"}
    is_answered_outside = True
    has_outside_effects = True
    secrets_in: ClassVar[frozenset[str]] = frozenset({"payload"})

    def destinations(self, context: StepContext, arguments: ExternalWorkerArguments) -> list[str]:
        receiver = outside_workers.receiver(arguments.worker, arguments.url, context.owner_id)
        return [http_client.host_and_port(receiver.url)]

    async def run(self, context: StepContext, arguments: ExternalWorkerArguments) -> OutsideAnswer:
        receiver = await context.query(outside_workers.receiver, arguments.worker, arguments.url, context.owner_id)
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
                url=receiver.url,
                headers={"idempotency-key": context.idempotency_key},
                json=task,
                sign=partial(webhooks.signed_headers, receiver.secret, f"{context.step_id}-{context.attempt}"),
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
