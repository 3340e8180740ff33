"""What callers give the engine to start a job: the job and its steps."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from workflows.engine.retry_policy import DEFAULT


@dataclass(slots=True)
class NewStep:
    """A step of a new job. `depends_on` lists indexes of steps of the same job. Without a `tool` a model does it."""

    name: str
    description: str = ""
    tool: str = ""
    arguments: dict[str, Any] | None = None
    depends_on: list[int] = field(default_factory=list)
    max_attempts: int = DEFAULT.max_attempts
    timeout_seconds: int | None = None


@dataclass(slots=True)
class NewExecution:
    """A new job. It starts after `delay` seconds. `workflow_…` say which saved workflow it runs, if any."""

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
    workflow_id: UUID | None = None
    workflow_name: str = ""
    workflow_version: int | None = None
