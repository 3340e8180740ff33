"""Steps that a model carries out, and the arguments that a model chooses for a tool."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from workflows.errors import StepError
from workflows.llm import client, prompt
from workflows.llm.client import Function, ModelAnswer, ModelRequest, ToolCall, Usage
from workflows.llm.offline import OFFLINE
from workflows.llm.offline import answer as offline
from workflows.llm.prompt import ModelTask, Prompt, StepInput
from workflows.network import secrets
from workflows.tools import StepContext, Tool, reasons

PIECE_CHARS = 400  # of the offline model's answer
MAX_REASONS = 10  # that a model is given for refused arguments


@dataclass(frozen=True)
class ModelResult:
    """`output` is the step's: text, model, finishReason, sources, and `warnings` where there are some."""

    output: dict[str, Any]
    usage: Usage | None


@dataclass(frozen=True)
class ChosenArguments:
    """Arguments that the tool accepts, as JSON; `model` is the one that chose them."""

    arguments: dict[str, Any]
    model: str
    usage: Usage | None


class Growth:
    """Reports how much of an answer there is: `2.1 kB written`."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.size = 0

    def __call__(self, piece: str) -> None:
        self.size += len(piece.encode(errors="replace"))
        self.context.report(None, f"{_size(self.size)} written")


async def run_model_step(context: StepContext, task: ModelTask) -> ModelResult:
    """The model's answer. Cancelling closes its connection. Raises what `client.complete` raises."""
    model = client.resolve_model(task.model_id, task.mode_default_model)
    growth = Growth(context)
    if model == OFFLINE:
        answer, warnings = await _offline_answer(task, growth), list[str]()
    else:
        answer, asked = await _ask(task, model, growth)
        warnings = [*asked.warnings, *_warnings(answer)]
    output = {
        "text": answer.text.replace("\0", "\ufffd"),
        "model": answer.model,
        "finishReason": answer.finish_reason,
        "sources": sources(task.inputs),
    }
    return ModelResult(output | ({"warnings": warnings} if warnings else {}), answer.usage)


async def choose_arguments(context: StepContext, tool: Tool, task: ModelTask) -> ChosenArguments:
    """By function calling; the offline model gives the schema's defaults or raises `arguments_needed`.

    What the tool would not accept goes back to the model once, with the reason; a model that called nothing is
    asked for JSON instead. Then it is a StepError.
    """
    model = client.resolve_model(task.model_id, task.mode_default_model)
    schema = tool.Arguments.model_json_schema()
    if model == OFFLINE:
        return ChosenArguments(offline.default_arguments(tool.slug, schema), OFFLINE, None)
    context.report(None, f"{model} chooses the arguments")
    function = Function(tool.slug, tool.description, schema)
    answer, asked = await _ask(task, model, _ignore, function)
    try:
        return ChosenArguments(_accepted(answer, tool, task), answer.model, answer.usage)
    except StepError as error:
        messages = [*asked.messages, *_objection(answer, tool, error)]
    second = await client.complete(ModelRequest(model, messages, function, not answer.tool_calls), _ignore)
    if not answer.tool_calls:
        second.tool_calls = [ToolCall(tool.slug, second.text)]
    return ChosenArguments(_accepted(second, tool, task), second.model, _sum(answer.usage, second.usage))


def sources(inputs: Sequence[StepInput]) -> list[dict[str, Any]]:
    """The documents that a step was given: `{documentId, filename, page, chunkId}`, each place once."""
    found = [source for item in inputs for source in _sources(item.output)]
    unique = {tuple(map(str, source.values())): source for source in found}
    return list(unique.values())


def _sources(output: Any) -> list[dict[str, Any]]:
    if not isinstance(output, dict):
        return []
    listed = [entry for name in ("results", "sources") if isinstance(output.get(name), list) for entry in output[name]]
    named = [entry for entry in [output, *listed] if isinstance(entry, dict) and entry.get("documentId")]
    return [{name: entry.get(name) for name in ("documentId", "filename", "page", "chunkId")} for entry in named]


async def _ask(
    task: ModelTask, model: str, on_text: Callable[[str], None], function: Function | None = None
) -> tuple[ModelAnswer, Prompt]:
    """Asks, and once more with less where the model cannot take so much."""
    request = f"Call {function.name} with the arguments that this step needs." if function else ""
    asked = await asyncio.to_thread(prompt.build, task, client.context_tokens(model), request)
    try:
        return await client.complete(ModelRequest(model, asked.messages, function), on_text), asked
    except client.ContextTooLong as error:
        if not task.inputs:
            raise
        # Its own tokens are not ours: leave room for the difference.
        smaller = min(error.limit or asked.size, asked.size) * 3 // 5
    asked = await asyncio.to_thread(prompt.build, task, smaller, request)
    return await client.complete(ModelRequest(model, asked.messages, function), on_text), asked


async def _offline_answer(task: ModelTask, on_text: Callable[[str], None]) -> ModelAnswer:
    given = [offline.Source(item.name, item.output, by_model=not item.tool) for item in task.inputs]
    text = await asyncio.to_thread(
        offline.answer,
        task.step_name,
        task.step_description,
        task.workflow_name,
        task.workflow_description,
        given,
    )
    for start in range(0, len(text), PIECE_CHARS):
        on_text(text[start : start + PIECE_CHARS])
        await asyncio.sleep(0)
    return ModelAnswer([text], OFFLINE, "stop")


def _warnings(answer: ModelAnswer) -> list[str]:
    """Raises StepError for an answer without a word."""
    if not answer.text.strip():
        filtered = answer.finish_reason == "content_filter"
        code = "content_filter" if filtered else "empty_answer"
        raise StepError(f"The model wrote nothing ({answer.finish_reason}).", code=code, retryable=not filtered)
    return ["The answer ends early: it reached the model's limit."] if answer.finish_reason == "length" else []


def _accepted(answer: ModelAnswer, tool: Tool, task: ModelTask) -> dict[str, Any]:
    """The arguments of the model's call. Raises StepError with what is wrong."""
    call = next((call for call in answer.tool_calls if call.name == tool.slug), None)
    if call is None:
        raise StepError(f"The model did not call {tool.slug}.", code="no_function_call")
    try:
        chosen = tool.Arguments.model_validate(json.loads(call.arguments or "{}"))
    except ValidationError as error:
        raise _bad_arguments(tool, reasons(error, limit=MAX_REASONS)) from error
    except ValueError as error:
        raise _bad_arguments(tool, f"not JSON: {error}") from error
    arguments: dict[str, Any] = chosen.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # Text that the model has read must not lead secrets out: only the step's author may name one.
    if foreign := secrets.names(arguments) - secrets.names([task.step_description, task.workflow_description]):
        raise _bad_arguments(tool, f"secrets that the step does not name: {', '.join(sorted(foreign))}")
    return arguments


def _bad_arguments(tool: Tool, reason: str) -> StepError:
    return StepError(f"The model's arguments for {tool.slug} do not fit: {reason}", code="bad_arguments")


def _objection(answer: ModelAnswer, tool: Tool, error: StepError) -> list[dict[str, str]]:
    """As plain text: some servers fail on a call in the history that is not valid JSON."""
    if not answer.tool_calls:
        schema = json.dumps(tool.Arguments.model_json_schema())
        wish = f"Answer with nothing but the arguments for {tool.slug}, a JSON object of this schema:\n{schema}"
        return [{"role": "user", "content": wish}]
    said = "\n".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)
    return [
        {"role": "assistant", "content": said[:10_000]},
        {
            "role": "user",
            "content": f"{error.message}\nCall {tool.slug} again, with arguments that fit its schema.",
        },
    ]


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    return first + second if first and second else first or second


def _size(size: int) -> str:
    """Bytes as people read them, in powers of 1000."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _ignore(piece: str) -> None:
    """A call's arguments are no text to show."""
