"""How an attempt ended, and what follows: another attempt, a wait, or the end of the step."""

import json
from dataclasses import dataclass
from typing import Any, Self

from aiworkstation.strict_json import depth_of
from workflows.engine.claims import Claim
from workflows.engine.retry_policy import DEFAULT, RetryPolicy
from workflows.engine.stored_json import dump
from workflows.errors import ChildCrashed, StepError, TryLater
from workflows.models import StepStatus
from workflows.tools import Slot

MAX_DEPTH = 200
"""The most levels of a result. A response to HTTP_REQUEST may have half of them."""


@dataclass(slots=True)
class Outcome:
    """How a run of a step ended. The constructors below are named after the audit events that they cause.

    `delay` is the number of seconds until the next run, None if there is none. `output`, `error` and `usage` are JSON
    texts. With `silence` the attempt continues outside, and fails after so many seconds without a sign of life.
    """

    claim: Claim
    status: StepStatus
    action: str
    delay: float | None = None
    repeats: bool = False
    crashes: int = 0
    waits: bool = False
    output: str | None = None
    error: str | None = None
    model: str | None = None
    usage: str | None = None
    silence: float | None = None
    keeps: Slot | None = None
    """The kind of slot with which its lane goes on, if it does."""
    is_replacement: bool = False
    """It replaces an outcome that the database rejected."""
    cooldown: tuple[str, float] | None = None
    """The servers that all workers leave alone, and for how many seconds."""

    @property
    def error_code(self) -> str:
        """Empty without an error."""
        return str(json.loads(self.error)["code"]) if self.error else ""

    @classmethod
    def completed(
        cls, claim: Claim, output: Any, *, model: str | None = None, usage: dict[str, Any] | None = None
    ) -> Self:
        """Raises StepError, `bad_output`, if the output cannot be stored as JSON."""
        if (depth := depth_of(output)) > MAX_DEPTH:
            message = f"the tool's result is nested {depth} levels deep; at most {MAX_DEPTH} are allowed"
            raise StepError(message, code="bad_output", retryable=False)
        try:
            stored = dump(output)
        except (TypeError, ValueError, RecursionError) as error:
            raise StepError(f"the tool's result is not JSON: {error}", code="bad_output", retryable=False) from error
        outcome = cls(claim, StepStatus.COMPLETED, "step.completed", output=stored, model=model)
        outcome.usage = None if usage is None else dump(usage)
        return outcome

    @classmethod
    def handed_over(
        cls, claim: Claim, silence: float, *, model: str | None = None, usage: dict[str, Any] | None = None
    ) -> Self:
        """An outside worker has the step. Nobody claims it until a callback or the end of the wait ends the attempt."""
        outcome = cls(claim, StepStatus.WAITING, "step.handed_over", silence=silence, model=model)
        outcome.usage = None if usage is None else dump(usage)
        return outcome

    @classmethod
    def asked(
        cls, claim: Claim, seconds: float, *, model: str | None = None, usage: dict[str, Any] | None = None
    ) -> Self:
        """A person must answer first: see `engine.ask`. No worker claims the step before that, or before its end."""
        outcome = cls.handed_over(claim, seconds, model=model, usage=usage)
        outcome.action = "step.approval_requested"
        return outcome

    @classmethod
    def approved(cls, claim: Claim) -> Self:
        """A person approved: the attempt continues."""
        return cls(claim, StepStatus.READY, "step.released", delay=0.0, repeats=True)

    @classmethod
    def failed(cls, claim: Claim, error: StepError, policy: RetryPolicy = DEFAULT) -> Self:
        """Another attempt after a delay, if the error and the number of attempts allow it. Otherwise the end."""
        if error.retryable and claim.failures < claim.max_attempts:
            delay = policy.delay(claim.failures, error.retry_delays)
            return cls(claim, StepStatus.WAITING, "step.retry_scheduled", delay=delay, error=error_json(error))
        return cls(claim, StepStatus.FAILED, "step.failed", error=error_json(error))

    @classmethod
    def waiting(cls, claim: Claim, error: StepError, delay: float | None, policy: RetryPolicy = DEFAULT) -> Self:
        """The other side is busy: a wait, not an attempt. The step fails when it has waited as long as it may."""
        waited = claim.waited or 0.0
        if waited >= policy.max_wait:
            error = StepError(f"{error.message} (waited {waited:.0f} s)", code=error.code, retryable=False)
            return cls(claim, StepStatus.FAILED, "step.failed", error=error_json(error))
        cooldown = error.cooldown if isinstance(error, TryLater) else ""
        back_off = policy.delay(1 + int(waited // 10))
        if delay is None:
            delay = back_off
        elif cooldown:
            # "Retry-After: 0", or a date in the past, must not make us call again and again.
            delay = max(delay, back_off)
        delay = min(max(delay, 0.1), max(policy.max_wait - waited, 1.0))
        outcome = cls(claim, StepStatus.WAITING, "step.waiting", delay=delay, error=error_json(error))
        outcome.repeats = outcome.waits = True
        if cooldown:
            outcome.cooldown = cooldown, delay
        return outcome

    @classmethod
    def crashed(cls, claim: Claim, message: str, policy: RetryPolicy = DEFAULT) -> Self:
        """The step's own process died: not an attempt. The last crash that the policy allows is the end."""
        crashes = claim.crashes + 1
        if crashes >= policy.max_crashes:
            error = StepError(
                f"its process died {crashes} times ({message}); the input or the tool kills it",
                code="crashed",
                retryable=False,
            )
            return cls(claim, StepStatus.FAILED, "step.failed", crashes=1, error=error_json(error))
        error = StepError(f"its process died ({message}); it runs again", code="crashed", retryable=True)
        outcome = cls(claim, StepStatus.READY, "step.crashed", delay=0.0, crashes=1, error=error_json(error))
        outcome.repeats = True
        return outcome

    @classmethod
    def returned(cls, claim: Claim) -> Self:
        """The worker stops: the step goes back to the queue at once, and the attempt does not count."""
        return cls(claim, StepStatus.READY, "step.returned", delay=0.0, repeats=True)

    @classmethod
    def of_error(cls, claim: Claim, error: StepError) -> Self:
        """Waiting, crashed or failed, as the class of the error decides."""
        if isinstance(error, TryLater):
            return cls.waiting(claim, error, error.delay)
        if isinstance(error, ChildCrashed):
            return cls.crashed(claim, error.message)
        return cls.failed(claim, error)

    def replacement(self, reason: Exception) -> Self:
        """What to record if the database rejects this outcome: a failed attempt that names the reason."""
        why = str(reason).strip().split("\n")[0].replace("\0", "")[:300]
        error = StepError(f"the database does not accept the step's result: {why}", code="not_storable")
        outcome = self.failed(self.claim, error)
        outcome.is_replacement = True
        return outcome


def error_json(error: StepError) -> str:
    """The parts of an error that are stored and shown."""
    return dump({"code": error.code, "message": error.message, "retryable": error.retryable})
