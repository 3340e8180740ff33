"""Tools: what a step can do. One class in one file, found by its slug.

An app named in EXTRA_APPS brings more in its `tools.py`: importing it registers them.
"""

from abc import ABC
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from workflows.errors import StepError

Slot = Literal["async", "thread", "process", "alone"]
"""The last is no tool's: steps that have seen crashes run in it, whatever their tool."""
MODEL_STEP = ""
"""In the place of a slug: the step names no tool, a model does it."""
Json = Any


class NoArguments(BaseModel):
    """A tool that takes none."""

    model_config = ConfigDict(extra="forbid")


class Arguments(BaseModel):
    """Base of every tool's arguments: camelCase on the wire, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


@dataclass
class StepContext:
    """What a tool knows of the step that it runs for.

    `idempotency_key` is the same for every attempt of the step, and another after a user's retry:
    send it with every outside effect.
    """

    execution_id: UUID
    step_id: UUID
    step_name: str
    attempt: int
    idempotency_key: str
    owner_id: int
    owner: str
    project_id: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: str = "General"
    report: Callable[[int | None, str], None] = lambda percent, message: None
    """Progress, 0–100 or None to leave it, and a short message. Cheap: the latest one is written twice a second."""
    token: UUID | None = None
    """Proves that this attempt still has the step, to `engine.add_steps`."""
    run_child: Callable[..., Awaitable[Json]] | None = None
    """`await run_child("package.module:function", arguments)` in a process with limits, without database or secrets."""
    leave_slot: Callable[[], object] = lambda: None
    """What is left of a step of slot "process" needs no child: another may have its slot. For any thread."""


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """In the place of a tool's output: an outside worker has the step, and it waits for the callback.

    `silence` is how many seconds may pass without a word; then the attempt has failed.
    """

    silence: float


class Tool(ABC):
    """A kind of step.

    `run` is a coroutine (slot "async"), or a plain function (slot "thread"). Slot "process" is a coroutine
    that works through `context.run_child`; as many run at once as there are child processes, until they
    `leave_slot`.
    It returns JSON and raises StepError; any other exception is retried and kept with its class.
    """

    slug: ClassVar[str]
    description: ClassVar[str]
    slot: ClassVar[Slot] = "async"
    Arguments: ClassVar[type[BaseModel]] = NoArguments
    is_answered_outside: ClassVar[bool] = False
    """Callbacks may end its steps: `run` returns an OutsideAnswer."""

    def check_configured(self) -> None:  # noqa: B027 - most tools need no setting
        """Raises NotConfigured where a setting is missing: before a model is asked for arguments."""

    def run(self, context: StepContext, arguments: Any) -> Any:
        raise NotImplementedError

    def failed(  # noqa: B027 - most tools have nothing to do here
        self, context: StepContext, arguments: dict[str, Any], error: StepError
    ) -> None:
        """The step's attempts are over. Called before the failure is recorded, in a thread, perhaps twice."""


_registry: dict[str, Tool] = {}


def register(tool: type[Tool]) -> type[Tool]:
    """Class decorator. A slug that is taken by another class is an error at import."""
    known = _registry.get(tool.slug)
    if known is not None and type(known) is not tool:
        raise ValueError(f"two tools are named {tool.slug}: {type(known)!r} and {tool!r}")
    _registry[tool.slug] = tool()
    return tool


def get(slug: str) -> Tool | None:
    return _registry.get(slug)


def all_tools() -> list[Tool]:
    return sorted(_registry.values(), key=lambda tool: tool.slug)


def known() -> tuple[str, ...]:
    """What a step may name for this process to run it."""
    return *sorted(_registry), MODEL_STEP


def slot_of(slug: str) -> Slot:
    tool = _registry.get(slug)
    return tool.slot if tool is not None else "async"
