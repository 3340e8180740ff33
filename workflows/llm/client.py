"""The model client: streamed Chat Completions, and Embeddings, from OpenAI or any server that speaks its API.

The engine retries, so the client does not. Cancelling the task that waits closes the connection. A call may take any
time, but SILENCE_SECONDS without a byte end it.

This is the only module that imports `openai`.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import openai
from django.conf import settings
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from workflows.errors import StepError
from workflows.llm import provider_errors
from workflows.llm.chat import ModelAnswer, ModelRequest, TokenUsage, ToolCall
from workflows.llm.model_catalog import base_url, cooldown_key, cost
from workflows.network import cooldowns

SILENCE_SECONDS = 120.0
CONNECT_SECONDS = 15.0
MAX_TOOL_CALLS = 101


async def complete(request: ModelRequest, on_text: Callable[[str], None]) -> ModelAnswer:
    """Makes one call. `on_text` gets each part of the text when it arrives.

    Raises TryLater (429, 503, a refused connection), ContextTooLong, PermanentError, or a StepError to be retried if
    the answer broke off: a stream without `finish_reason` is no answer.
    """
    cooldowns.check(cooldown_key(request.model))
    answer = ModelAnswer(model=request.model)
    try:
        await _receive(request, answer, on_text)
    except openai.APIStatusError as error:
        raise provider_errors.of_status(error, request.model) from error
    except openai.APITimeoutError as error:
        if not answer.finish_reason:
            raise StepError(f"The model sent nothing for {SILENCE_SECONDS:g} seconds.", code="model_silent") from error
    except openai.APIConnectionError as error:
        if not answer.finish_reason:
            raise provider_errors.of_connection(error, request.model) from error
    except openai.APIError as error:
        raise provider_errors.of_stream(error, request.model) from error
    except json.JSONDecodeError as error:
        raise StepError("The model's server sent something that is not its API.", code="bad_answer") from error
    if not answer.finish_reason:
        raise StepError(
            f"The model's answer ended early, without a finish_reason ({len(answer.text)} characters came)."
            " If no answer ever comes: OPENAI_BASE_URL usually ends in /v1.",
            code="stream_incomplete",
        )
    return answer


def embed(texts: Sequence[str], model: str, *, seconds: float = SILENCE_SECONDS) -> list[list[float]]:
    """Returns a vector for each text, all of one length. One call of at most `seconds`, which blocks its thread.

    Raises TryLater, ContextTooLong, PermanentError or StepError, as `complete` does.
    """
    cooldowns.check(cooldown_key(model))
    with _errors_of_embedding(model, seconds):
        client = _blocking_client(base_url(), settings.CONFIG.openai_api_key).with_options(timeout=seconds)
        answer = client.embeddings.create(model=model, input=list(texts), encoding_format="float")
        found = {item.index: item.embedding for item in answer.data or []}
    vectors = [found.get(place) or [] for place in range(len(texts))]
    if not _are_vectors(vectors):
        raise StepError("The embedding model did not send one vector for each text.", code="bad_answer")
    return vectors


async def close() -> None:
    """Closes the connections of this event loop. Call it before the loop ends."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


# --- the stream of an answer


async def _receive(request: ModelRequest, answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    stream = await _client().chat.completions.create(**_parameters(request))
    async with stream:
        async for chunk in cast(AsyncIterator[ChatCompletionChunk], stream):
            _add_chunk(chunk, answer, on_text)


def _parameters(request: ModelRequest) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    function = request.function
    if function is not None and request.as_json:
        schema = {"name": function.name, "schema": function.schema}
        parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif function is not None:
        described = {
            "name": function.name,
            "description": function.description,
            "parameters": function.schema,
        }
        parameters["tools"] = [{"type": "function", "function": described}]
        # There is one function to choose. It is not chosen by name, because llama.cpp refuses that.
        parameters["tool_choice"] = "required"
    return parameters


def _add_chunk(chunk: ChatCompletionChunk, answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    answer.model = chunk.model or answer.model
    if chunk.usage is not None:
        answer.usage = _token_usage(chunk.usage, answer.model)
    for choice in chunk.choices or []:
        answer.finish_reason = choice.finish_reason or answer.finish_reason
        text = choice.delta.content or choice.delta.refusal or ""
        for call in choice.delta.tool_calls or []:
            _add_to_tool_call(call.index or 0, call.function, answer)
        if text:
            answer.parts.append(text)
            on_text(text)


def _add_to_tool_call(index: int, function: Any, answer: ModelAnswer) -> None:
    index = min(index, MAX_TOOL_CALLS - 1)
    while len(answer.tool_calls) <= index:
        answer.tool_calls.append(ToolCall())
    call = answer.tool_calls[index]
    if function is not None:
        call.name += function.name or ""
        call.arguments += function.arguments or ""


def _token_usage(usage: CompletionUsage, model: str) -> TokenUsage:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    tokens = TokenUsage(usage.prompt_tokens or 0, usage.completion_tokens or 0)
    return replace(tokens, cost=cost(tokens, cached, model))


# --- connections

# One client for each event loop and provider, because connections belong to the loop.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], openai.AsyncOpenAI]] = WeakKeyDictionary()


def _client() -> openai.AsyncOpenAI:
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    key = (base_url(), settings.CONFIG.openai_api_key)
    if key not in clients:
        clients[key] = openai.AsyncOpenAI(
            base_url=key[0],
            api_key=key[1] or "none",  # the package demands a key; a server without keys ignores it
            max_retries=0,
            timeout=openai.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
        )
    return clients[key]


@cache
def _blocking_client(base_url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=key or "none", max_retries=0)


# --- embeddings


@contextmanager
def _errors_of_embedding(model: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        raise provider_errors.of_status(error, model) from error
    except openai.APITimeoutError as error:
        raise StepError(f"The model sent nothing for {seconds:g} seconds.", code="model_silent") from error
    except openai.APIConnectionError as error:
        raise provider_errors.of_connection(error, model) from error
    except openai.APIError as error:
        raise provider_errors.of_stream(error, model) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise StepError("The model's server sent something that is not its API.", code="bad_answer") from error


def _are_vectors(vectors: Sequence[Sequence[float]]) -> bool:
    lengths = {len(vector) for vector in vectors}
    return len(lengths) == 1 and 0 not in lengths and all(math.isfinite(sum(vector)) for vector in vectors)
