"""What a worker gets from the engine: the step that it claimed."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

_NOBODY = UUID(int=0)


class ClaimedStep(NamedTuple):
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
