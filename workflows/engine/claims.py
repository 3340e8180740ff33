"""What a worker gets from the engine: a step that it claimed, with the token of its claim."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

_NO_TOKEN = UUID(int=0)


class ClaimedStep(NamedTuple):
    """A step, and the claim token that proves who holds it."""

    step_id: UUID
    token: UUID


class Claim(NamedTuple):
    """A step that this worker holds, with the settings of its job. These are the columns of workflow_claim, in sql/.

    `token` is the claim token: a worker that lost its claim cannot record an outcome with it.
    """

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
    is_owner_active: bool = True
    has_chosen_arguments: bool = False
    """A model chose the arguments."""
    approval: dict[str, Any] | None = None
    """What a person was asked, and `answer` if they answered."""
    traceparent: str = ""
    """The span that started the job, empty without traces."""

    @property
    def waits_for_person(self) -> bool:
        return self.approval is not None and "answer" not in self.approval

    @property
    def is_approved(self) -> bool:
        return self.approval is not None and self.approval.get("answer") == "approved"

    @property
    def failures(self) -> int:
        """Attempts in this round, including the present one."""
        return self.attempt - self.attempts_before

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of a round. It changes when a user retries the step."""
        return str(self.step_id) if self.round == 1 else f"{self.step_id}-r{self.round}"


def as_claim(row: Sequence[Any]) -> Claim:
    """Reads a claim from JSON. The claim token is the nil UUID if an outside worker has the step."""
    step, token, execution, *rest = row
    return Claim(UUID(step), UUID(token) if token else _NO_TOKEN, UUID(execution), *rest)
