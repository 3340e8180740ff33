"""What goes into the engine and what comes out: plain data."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from workflows.errors import ChildCrashed, StepError, TryLater
from workflows.models import StepStatus
from workflows.retry import DEFAULT, RetryPolicy
from workflows.tools import Slot

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL, but not an escaped backslash before the text u0000."""


@dataclass(slots=True)
class NewStep:
    """A step to be. `depends_on` are indexes of steps of the same job."""

    name: str
    description: str = ""
    tool: str = ""
    arguments: dict[str, Any] | None = None
    depends_on: list[int] = field(default_factory=list)
    max_attempts: int = DEFAULT.max_attempts
    timeout_seconds: int | None = None


@dataclass(slots=True)
class NewExecution:
    """A job to be. `delay` is in seconds."""

    owner_id: int
    job_type: str
    name: str
    steps: list[NewStep]
    description: str = ""
    mode: str = "General"
    model_id: str = ""
    project_id: str = ""
    tags: list[str] = field(default_factory=list)
    payload: dict[str, Any] = field(default_factory=dict)
    queue: str = "normal"
    max_parallel: int = 5
    tolerates_failures: bool = False
    delay: float = 0.0


_NOBODY = UUID(int=0)


class Held(NamedTuple):
    """A step, and the token that proves that it is held."""

    step_id: UUID
    token: UUID


class Claim(NamedTuple):
    """A step that this worker holds, with what its execution says. The columns of workflow_claim, in sql/."""

    step_id: UUID
    token: UUID
    execution_id: UUID
    step_index: int
    name: str
    description: str
    tool: str
    arguments: dict[str, Any] | None
    depends_on: list[int]
    attempt: int
    attempts_before: int
    max_attempts: int
    timeout_seconds: int | None
    round: int
    crashes: int
    waited: float | None
    lane: int | None
    owner_id: int
    owner: str
    execution_name: str
    execution_description: str
    mode: str
    model_id: str
    project_id: str
    tags: list[str]

    @property
    def failures(self) -> int:
        """Attempts of this round, the present one included."""
        return self.attempt - self.attempts_before

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt, and another after a user's retry."""
        return str(self.step_id) if self.round == 1 else f"{self.step_id}-r{self.round}"


def as_claim(row: Sequence[Any]) -> Claim:
    """From JSON. The token is the nil UUID where nobody holds the step: an outside worker does."""
    step, token, execution, *rest = row
    return Claim(UUID(step), UUID(token) if token else _NOBODY, UUID(execution), *rest)


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


def returned(claim: Claim) -> Outcome:
    """The worker stops: the step goes back at once, and the attempt does not count."""
    return Outcome(claim, StepStatus.READY, "step.returned", delay=0.0, repeats=True)


def describe(error: StepError) -> str:
    return dump({"code": error.code, "message": error.message, "retryable": error.retryable})


def dump(value: Any) -> str:
    """JSON that PostgreSQL takes: no NaN, and no NUL nor half of a surrogate pair in any text."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1", text)
    return text.encode("utf-8", "replace").decode()
