"""Model steps: a model carries out a step, or chooses the arguments of a tool."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from aiworkstation import strict_json
from workflows.errors import StepError
from workflows.llm import client, finish_reasons, prompt
from workflows.llm.answer_stream import arguments_in
from workflows.llm.chat import Function, ModelAnswer, ModelRequest, TokenUsage, whole
from workflows.llm.model_catalog import context_tokens, resolve_model
from workflows.llm.model_spans import attributes_of, model_span
from workflows.llm.offline import OFFLINE
from workflows.llm.offline import answer as offline
from workflows.llm.prompt import ModelTask, Prompt, StepInput
from workflows.llm.provider_errors import ContextTooLong
from workflows.llm.refused_parameters import ToolsRefused
from workflows.network import secrets
from workflows.tools import StepContext, Tool, reasons

OFFLINE_PART_CHARS = 400  # characters of the offline model's answer that are sent at a time
MAX_REASONS = 10  # reasons for refused arguments that the model is given


@dataclass(frozen=True)
class ModelResult:
    """`output` is the step's output: text, model, finishReason, sources, and `warnings` if there are any."""

    output: dict[str, Any]
    usage: TokenUsage | None


@dataclass(frozen=True)
class ChosenArguments:
    """Arguments that the tool accepts, as JSON; `model` is the one that chose them."""

    arguments: dict[str, Any]
    model: str
    usage: TokenUsage | None


class SizeReport:
    """Reports how much of an answer has arrived, as the step's progress: `2.1 kB written`."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.size = 0

    def __call__(self, text: str) -> None:
        self.size += len(text.encode(errors="replace"))
        self.context.report(None, f"{_bytes_text(self.size)} written")


async def run_model_step(context: StepContext, task: ModelTask) -> ModelResult:
    """Returns the model's answer. Cancelling closes the connection. Raises what `client.complete` raises."""
    model = resolve_model(task.model_id, task.mode_default_model)
    report_size = SizeReport(context)
    if model == OFFLINE:
        with model_span("chat", OFFLINE) as span:
            answer, warnings = await _offline_answer(task, report_size), list[str]()
            span.set(attributes_of(answer))
    else:
        answer, asked = await _ask(task, model, report_size)
        warnings = [*asked.warnings, *_warnings(answer)]
    output = {
        "text": answer.text.replace("\0", "\ufffd"),
        "model": answer.model,
        "finishReason": answer.finish_reason,
        "sources": sources(task.inputs),
    }
    if thinking := answer.thinking:
        # For readers alone: the next step gets `text`.
        output["thinking"] = thinking.replace("\0", "\ufffd")
    return ModelResult(output | ({"warnings": warnings} if warnings else {}), answer.usage)


async def choose_arguments(context: StepContext, tool: Tool, task: ModelTask) -> ChosenArguments:
    """Asks the model to call the tool. The offline model takes the schema's defaults, or raises `arguments_needed`.

    If the tool refuses the arguments, the model is asked once more, with the reasons. A model that called nothing, or
    that takes no tools, is asked for JSON instead. A second refusal is a StepError.
    """
    model = resolve_model(task.model_id, task.mode_default_model)
    schema = tool.Arguments.model_json_schema()
    if model == OFFLINE:
        return ChosenArguments(offline.default_arguments(tool.slug, schema), OFFLINE, None)
    context.report(None, f"{model} chooses the arguments")
    function = Function(tool.slug, tool.description, schema)
    try:
        answer, asked = await _ask(task, model, _ignore, function)
    except ToolsRefused:
        answer, asked = await _ask(task, model, _ignore, function, as_json=True)
    try:
        return ChosenArguments(_accepted_arguments(answer, tool, task), answer.model, answer.usage)
    except StepError as error:
        messages = [*asked.messages, *_second_request(answer, tool, error)]
    second = await client.complete(ModelRequest(model, messages, function, not answer.tool_calls), _ignore)
    return ChosenArguments(_accepted_arguments(second, tool, task), second.model, _added(answer.usage, second.usage))


def sources(inputs: Sequence[StepInput]) -> list[dict[str, Any]]:
    """The document places that a step was given, each once: `{documentId, filename, page, chunkId}`."""
    found = [source for item in inputs for source in _sources_in(item.output)]
    unique = {tuple(map(str, source.values())): source for source in found}
    return list(unique.values())


def _sources_in(output: Any) -> list[dict[str, Any]]:
    if not isinstance(output, dict):
        return []
    listed = [entry for name in ("results", "sources") if isinstance(output.get(name), list) for entry in output[name]]
    named = [entry for entry in [output, *listed] if isinstance(entry, dict) and entry.get("documentId")]
    return [{name: entry.get(name) for name in ("documentId", "filename", "page", "chunkId")} for entry in named]


async def _ask(
    task: ModelTask,
    model: str,
    on_text: Callable[[str], None],
    function: Function | None = None,
    *,
    as_json: bool = False,
) -> tuple[ModelAnswer, Prompt]:
    """Asks the model. If the text is too long for it, asks once more with less."""
    request = ""
    if function is not None:
        request = f"Call {function.name} with the arguments that this step needs."
    if function is not None and as_json:
        request = _request_for_json(function)
    asked = await asyncio.to_thread(prompt.build, task, context_tokens(model), request)
    try:
        return await client.complete(ModelRequest(model, asked.messages, function, as_json), on_text), asked
    except ContextTooLong as error:
        if not task.inputs:
            raise
        # The model may count other tokens than we do: leave room for the difference.
        smaller = min(error.limit or asked.size, asked.size) * 3 // 5
    asked = await asyncio.to_thread(prompt.build, task, smaller, request)
    return await client.complete(ModelRequest(model, asked.messages, function, as_json), on_text), asked


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
    for start in range(0, len(text), OFFLINE_PART_CHARS):
        on_text(text[start : start + OFFLINE_PART_CHARS])
        # Lets the event loop serve other steps between two parts.
        await asyncio.sleep(0)
    return ModelAnswer([text], OFFLINE, "stop")


def _warnings(answer: ModelAnswer) -> list[str]:
    """Returns warnings about the answer. Raises StepError if it is empty."""
    if not answer.text.strip():
        filtered = finish_reasons.is_filtered(answer.finish_reason)
        code = "content_filter" if filtered else "empty_answer"
        raise StepError(f"The model wrote nothing ({answer.finish_reason}).", code=code, retryable=not filtered)
    found = finish_reasons.warning(answer.finish_reason)
    return [found] if found else []


def _accepted_arguments(answer: ModelAnswer, tool: Tool, task: ModelTask) -> dict[str, Any]:
    """Returns the arguments of the model's call. Raises StepError with the reason if they do not fit."""
    written = _written_arguments(answer, tool)
    if written is None:
        raise StepError(f"The model did not call {tool.slug}.", code="no_function_call")
    try:
        value = strict_json.loads(written or "{}")
        # Some servers encode the arguments twice.
        chosen = tool.Arguments.model_validate(strict_json.loads(value) if isinstance(value, str) else value)
    except ValidationError as error:
        raise _bad_arguments(tool, reasons(tool, error, limit=MAX_REASONS)) from error
    except strict_json.BadJson as error:
        raise _bad_arguments(tool, f"not JSON: {error}") from error
    arguments: dict[str, Any] = chosen.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # A text that the model reads must not get secrets sent anywhere: only the step's author may name one.
    if named := secrets.names(arguments):
        raise _bad_arguments(tool, f"a model may not name secrets: {', '.join(sorted(named))}")
    return arguments


def _written_arguments(answer: ModelAnswer, tool: Tool) -> str | None:
    """The JSON of the call, or in the answer's text. None if the model wrote none."""
    for call in answer.tool_calls:
        if _is_called(call.name, tool.slug):
            text = whole(call.arguments).strip()
            return text if not text.startswith("`") else arguments_in(text)
    return arguments_in(answer.text)


def _is_called(name: str, slug: str) -> bool:
    """Some servers write the name with a prefix (`functions.X`), in another case or with other separators."""
    called, wanted = (re.sub(r"[^a-z0-9]", "", each.lower()) for each in (name, slug))
    return called.endswith(wanted)


def _bad_arguments(tool: Tool, reason: str) -> StepError:
    return StepError(f"The model's arguments for {tool.slug} do not fit: {reason}", code="bad_arguments")


def _second_request(answer: ModelAnswer, tool: Tool, error: StepError) -> list[dict[str, str]]:
    """The messages that ask again. The call is quoted as text, because some servers fail on calls with invalid JSON."""
    if not answer.tool_calls:
        function = Function(tool.slug, tool.description, tool.Arguments.model_json_schema())
        return [{"role": "user", "content": _request_for_json(function)}]
    calls = "\n".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)
    return [
        {"role": "assistant", "content": calls[:10_000]},
        {
            "role": "user",
            "content": f"{error.message}\nCall {tool.slug} again, with arguments that fit its schema.",
        },
    ]


def _request_for_json(function: Function) -> str:
    schema = json.dumps(function.schema)
    return f"Answer with nothing but the arguments for {function.name}, a JSON object of this schema:\n{schema}"


def _added(first: TokenUsage | None, second: TokenUsage | None) -> TokenUsage | None:
    return first + second if first and second else first or second


def _bytes_text(size: int) -> str:
    """A number of bytes as people read it, in powers of 1000."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _ignore(text: str) -> None:
    """The text beside a call is not shown."""
