"""How an attempt ended, and what follows: another attempt, a wait, or the end of the step."""

from dataclasses import dataclass
from typing import Any

from workflows.engine.claims import Claim
from workflows.engine.retry_policy import DEFAULT, RetryPolicy
from workflows.engine.stored_json import dump
from workflows.errors import ChildCrashed, StepError, TryLater
from workflows.models import StepStatus
from workflows.tools import Slot


@dataclass(slots=True)
class Outcome:
    """How a run of a step ended. `delay` is in seconds, None where nothing comes after. Texts but `model` are JSON.

    With `silence` the attempt goes on outside: so many seconds may pass without a word from there.
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
    """What all workers are to leave alone, and for how many seconds."""


def completed(claim: Claim, output: Any, *, model: str | None = None, usage: dict[str, Any] | None = None) -> Outcome:
    """Raises StepError, `bad_output`, where the output cannot be stored as JSON."""
    try:
        stored = dump(output)
    except (TypeError, ValueError, RecursionError) as error:
        raise StepError(f"the tool's result is not JSON: {error}", code="bad_output", retryable=False) from error
    return Outcome(
        claim,
        StepStatus.COMPLETED,
        "step.completed",
        output=stored,
        model=model,
        usage=None if usage is None else dump(usage),
    )


def external(claim: Claim, silence: float, *, model: str | None = None, usage: dict[str, Any] | None = None) -> Outcome:
    """An outside worker has the step. Nobody claims it until a callback, or the end of the wait, ends the attempt."""
    return Outcome(
        claim,
        StepStatus.WAITING,
        "step.handed_over",
        silence=silence,
        model=model,
        usage=None if usage is None else dump(usage),
    )


def failed(claim: Claim, error: StepError, policy: RetryPolicy = DEFAULT) -> Outcome:
    """Back-off and another attempt where the error and the number of attempts allow it, otherwise the end."""
    if error.retryable and claim.failures < claim.max_attempts:
        delay = policy.delay(claim.failures)
        return Outcome(claim, StepStatus.WAITING, "step.retry_scheduled", delay=delay, error=describe(error))
    return Outcome(claim, StepStatus.FAILED, "step.failed", error=describe(error))


def waits(claim: Claim, error: StepError, delay: float | None, policy: RetryPolicy = DEFAULT) -> Outcome:
    """No attempt, for as long as the policy lets a step wait for a busy other side; then the end."""
    waited = claim.waited or 0.0
    if waited >= policy.max_wait:
        error = StepError(f"{error.message} (waited {waited:.0f} s)", code=error.code, retryable=False)
        return Outcome(claim, StepStatus.FAILED, "step.failed", error=describe(error))
    delay = policy.delay(1 + int(waited // 10)) if delay is None else delay
    delay = min(max(delay, 0.1), max(policy.max_wait - waited, 1.0))
    outcome = Outcome(
        claim,
        StepStatus.WAITING,
        "step.waiting",
        delay=delay,
        repeats=True,
        waits=True,
        error=describe(error),
    )
    if isinstance(error, TryLater) and error.cooldown:
        outcome.cooldown = error.cooldown, delay
    return outcome


def crashed(claim: Claim, message: str, policy: RetryPolicy = DEFAULT) -> Outcome:
    """The step's own process died: not an attempt, and at the third time the end."""
    crashes = claim.crashes + 1
    if crashes >= policy.max_crashes:
        error = StepError(
            f"its process died {crashes} times ({message}); the input or the tool kills it",
            code="crashed",
            retryable=False,
        )
        return Outcome(claim, StepStatus.FAILED, "step.failed", crashes=1, error=describe(error))
    error = StepError(f"its process died ({message}); it runs again", code="crashed", retryable=True)
    return Outcome(claim, StepStatus.READY, "step.crashed", delay=0.0, repeats=True, crashes=1, error=describe(error))


def ended_by(claim: Claim, error: StepError) -> Outcome:
    """What an error makes of the attempt."""
    if isinstance(error, TryLater):
        return waits(claim, error, error.delay)
    if isinstance(error, ChildCrashed):
        return crashed(claim, error.message)
    return failed(claim, error)


def rejected(outcome: Outcome, reason: Exception) -> Outcome:
    """What becomes of an outcome that the database rejects: a failed attempt that says why."""
    why = str(reason).strip().split("\n")[0].replace("\0", "")[:300]
    error = StepError(f"the database does not accept the step's result: {why}", code="not_storable")
    replacement = failed(outcome.claim, error)
    replacement.is_replacement = True
    return replacement


def returned(claim: Claim) -> Outcome:
    """The worker stops: the step goes back at once, and the attempt does not count."""
    return Outcome(claim, StepStatus.READY, "step.returned", delay=0.0, repeats=True)


def describe(error: StepError) -> str:
    return dump({"code": error.code, "message": error.message, "retryable": error.retryable})
