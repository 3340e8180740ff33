"""What a tool is: the base class, its arguments, and what it may know about the step that it runs for."""

import asyncio
from abc import ABC
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from workflows.errors import BadArguments, StepError

Slot = Literal["async", "thread", "process", "alone"]
"""The kind of slot that a step needs. A tool has one of the first three. A step that crashed often runs "alone"."""


class Arguments(BaseModel):
    """Base class for the arguments of a tool. They are camelCase in JSON, and unknown keys are refused.

    For an optional argument, `null` means that it is left out.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        optional = {
            key
            for name, field in cls.model_fields.items()
            if not field.is_required() and not _takes_null(field.annotation)
            for key in (name, field.alias)
        }
        return {key: value for key, value in data.items() if value is not None or key not in optional}


def _takes_null(annotation: Any) -> bool:
    return annotation is Any or type(None) in get_args(annotation)


class NoArguments(Arguments):
    """The arguments of a tool that takes none."""


@dataclass
class StepContext:
    """What a tool may know about the step that it runs for.

    `idempotency_key` is the same for every attempt of the step and changes when a user retries it. Send it with every
    request that has an effect outside.
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
    """Reports progress: 0–100, or None to leave it as it is, and a short message. It is cheap: the latest report is
    stored twice a second.
    """
    has_chosen_arguments: bool = False
    """A model chose the arguments, perhaps because of a text that it has read."""
    claim_token: UUID | None = None
    """Proves to `engine.add_steps` that this attempt still holds the step."""
    query: Callable[..., Awaitable[Any]] = asyncio.to_thread
    """`await query(function, …)` runs a function that reads the database."""
    run_child: Callable[..., Awaitable[Any]] | None = None
    """`await run_child("package.module:function", arguments)` runs a function in a child process that has limits, and
    neither the database nor secrets.
    """
    leave_slot: Callable[[], object] = lambda: None
    """Call it when the rest of a step of slot "process" needs no child: another step may have the slot. Any thread may
    call it.
    """


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """What a tool returns instead of an output when an outside worker has the step, which then waits for a callback.

    The attempt fails after `silence` seconds without a sign of life.
    """

    silence: float


@dataclass(frozen=True, slots=True)
class PersonsAnswer:
    """What a tool returns instead of an output when the step waits for a person: the owner, staff or the group.

    A yes completes the step, a no fails it (`rejected`), and so does the end of `seconds` (`approval_expired`).
    """

    question: str
    seconds: float
    group: str = ""


class Tool(ABC):
    """A kind of step.

    `run` is a coroutine in slot "async" and a plain function in slot "thread". In slot "process" it is a coroutine that
    works through `context.run_child`; as many of them run at once as there are child processes, until they call
    `leave_slot`.

    `run` returns JSON or raises StepError. Any other exception is retried, and its class is kept.
    """

    slug: ClassVar[str]
    description: ClassVar[str]
    slot: ClassVar[Slot] = "async"
    Arguments: ClassVar[type[BaseModel]] = NoArguments
    is_answered_outside: ClassVar[bool] = False
    """Callbacks may end steps of this tool: `run` returns an OutsideAnswer."""
    is_internal: ClassVar[bool] = False
    """Only the application itself plans steps of this tool: no payload may name it, and it is not listed."""

    has_outside_effects: ClassVar[bool] = False
    """It sends its arguments out of the application, or changes something there. Then arguments that a model chose go
    only to hosts that the step, its mode or MODEL_ALLOWED_HOSTS names. For others, a person is asked first.
    """

    secrets_in: ClassVar[frozenset[str]] = frozenset()
    """The arguments whose values may contain `{{secret.NAME}}`. The tool must pass them to `http_client` unchanged."""

    form_fields: ClassVar[Mapping[str, str]] = {}
    """The kinds of form fields for arguments whose JSON Schema does not say enough, such as `document`, by argument.
    The pages know the kinds; an unknown kind is ignored.
    """

    def check_configured(self) -> None:  # noqa: B027 - most tools need no setting
        """Raises NotConfigured if a setting is missing. It is called before a model is asked for arguments."""

    def missing_here(self) -> str:
        """Returns a sentence that says why steps of this tool cannot run on this machine. Then other workers take them.

        The worker calls it at its start and every ten seconds. It may read the database.
        """
        return ""

    def destinations(self, context: StepContext, arguments: Any) -> Collection[str] | None:
        """Returns each `host:port` to which these arguments go. None, the default, means unknown: a person is always
        asked.

        For tools with outside effects. It may read the database.
        """
        return None

    def run(self, context: StepContext, arguments: Any) -> Any:
        raise NotImplementedError

    def failed(  # noqa: B027 - most tools have nothing to do here
        self, context: StepContext, arguments: dict[str, Any], error: StepError
    ) -> None:
        """Called when the step has no attempts left: in a thread, before the failure is recorded, perhaps twice."""


def parsed_arguments(tool: Tool, arguments: dict[str, Any]) -> Any:
    """The arguments as an instance of the tool's own class. Raises BadArguments, which names the wrong ones."""
    try:
        return tool.Arguments.model_validate(arguments)
    except ValidationError as error:
        raise BadArguments(f"{tool.slug}: {reasons(tool, error)}") from None


def reasons(tool: Tool, error: ValidationError, limit: int | None = None) -> str:
    """Why arguments were refused, in one line: the first `limit` reasons, each with the name of its argument."""
    found = error.errors()[:limit]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {reason(tool, item)}" for item in found)


def reason(tool: Tool, item: ErrorDetails) -> str:
    """Why one argument was refused. For an unknown key, the known ones are listed."""
    if item["type"] != "extra_forbidden":
        return item["msg"]
    known = _known_keys(tool.Arguments.model_json_schema(), item["loc"][:-1])
    return f"Unknown key. Known keys: {', '.join(known)}" if known else "Unknown key. There are no keys"


def _known_keys(schema: dict[str, Any], path: tuple[int | str, ...]) -> list[str]:
    """The keys that a JSON Schema has at this path of the arguments."""
    node = schema
    for part in path:
        inside = _resolved(schema, node)
        child = inside.get("items") if isinstance(part, int) else inside.get("properties", {}).get(part)
        node = child or inside.get("additionalProperties") or {}
    return list(_resolved(schema, node).get("properties", {}))


def _resolved(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    """The node without a reference, and without the alternative null."""
    if not isinstance(node, dict):
        return {}
    if "$ref" in node:
        return _resolved(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    choices = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    return _resolved(schema, choices[0]) if len(choices) == 1 else node
