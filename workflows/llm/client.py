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
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import httpx2
import openai
from django.conf import settings

from workflows.errors import StepError
from workflows.llm import provider_errors, refused_parameters
from workflows.llm.answer_stream import MAX_CHARACTERS, AnswerStream, AnswerTooLarge
from workflows.llm.chat import ModelAnswer, ModelRequest
from workflows.llm.finish_reasons import is_no_answer
from workflows.llm.model_catalog import base_url, cooldown_key
from workflows.llm.model_spans import attributes_of, model_span
from workflows.llm.sse import data_of_events
from workflows.network import cooldowns

SILENCE_SECONDS = 120.0
CONNECT_SECONDS = 15.0
MAX_BYTES = 4 * MAX_CHARACTERS


async def complete(request: ModelRequest, on_text: Callable[[str], None]) -> ModelAnswer:
    """Makes one call, and again without what the provider refuses. `on_text` gets each part of the text on arrival.

    Raises TryLater (429, 503, 529, a refused connection), ContextTooLong, PermanentError, ToolsRefused, or a StepError
    to be retried if the answer broke off: a stream without `finish_reason` is no answer.
    """
    cooldowns.check(cooldown_key(request.model))
    with model_span("chat", request.model) as span:
        answer = await _complete(request, on_text)
        span.set(attributes_of(answer))
        return answer


async def _complete(request: ModelRequest, on_text: Callable[[str], None]) -> ModelAnswer:
    parameters = _parameters(request)
    while True:
        answer = ModelAnswer(model=request.model)
        try:
            await _receive(refused_parameters.without_refused(parameters), answer, on_text)
        except openai.APIStatusError as error:
            if not refused_parameters.note_refused(error, parameters):
                raise provider_errors.of_status(error, request.model) from error
        else:
            return _whole(answer)


def _whole(answer: ModelAnswer) -> ModelAnswer:
    """Raises StepError if the provider did not finish the answer."""
    if not answer.finish_reason:
        raise StepError(
            f"The model's answer ended early, without a finish_reason ({len(answer.text)} characters came)."
            " If no answer ever comes: OPENAI_BASE_URL usually ends in /v1.",
            code="stream_incomplete",
        )
    if is_no_answer(answer.finish_reason):
        raise StepError(f"The model provider gave up ({answer.finish_reason}).", code="model_failed")
    return answer


def embed(texts: Sequence[str], model: str, *, seconds: float = SILENCE_SECONDS) -> list[list[float]]:
    """Returns a vector for each text, all of one length. One call of at most `seconds`, which blocks its thread.

    Raises TryLater, ContextTooLong, PermanentError or StepError, as `complete` does.
    """
    cooldowns.check(cooldown_key(model))
    with model_span("embeddings", model), _errors_of_embedding(model, seconds):
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


async def _receive(parameters: dict[str, Any], answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    """Fills `answer`. Raises openai.APIStatusError for a status that is an error, StepError for all that comes later.

    A connection that is lost after the finish reason has lost nothing.
    """
    try:
        await _read(parameters, answer, on_text)
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        if not answer.finish_reason:
            raise StepError(f"The model sent nothing for {SILENCE_SECONDS:g} seconds.", code="model_silent") from error
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        if not answer.finish_reason:
            raise provider_errors.of_connection(error, parameters["model"]) from error
    except (ValueError, RecursionError, httpx2.DecodingError) as error:
        raise StepError("The model's server sent something that is not its API.", code="bad_answer") from error


async def _read(parameters: dict[str, Any], answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    """Reads the response itself, because the package's own reader stops at what some servers send."""
    stream = AnswerStream(answer, on_text)
    async with _client().chat.completions.with_streaming_response.create(**parameters) as response:
        blocks = response.iter_bytes()
        # Some servers answer with JSON although a stream was asked for, or call it a stream.
        first = await anext(blocks, b"")
        if first.lstrip()[:1] in (b"{", b"["):
            _add(json.loads(await _joined(first, blocks)), stream, answer.model)
        else:
            async for event in data_of_events(_chained(first, blocks)):
                _add(json.loads(event), stream, answer.model)


def _add(data: Any, stream: AnswerStream, model: str) -> None:
    data = data[0] if isinstance(data, list) and len(data) == 1 else data
    if not isinstance(data, dict):
        raise StepError("The model's server sent something that is not its API.", code="bad_answer")
    if error := provider_errors.error_in(data, model):
        raise error
    stream.add(data)


async def _joined(first: bytes, blocks: AsyncIterator[bytes]) -> bytes:
    whole = bytearray(first)
    async for block in blocks:
        whole += block
        if len(whole) > MAX_BYTES:
            raise AnswerTooLarge(f"The model's answer has more than {MAX_BYTES:,} bytes.")
    return bytes(whole)


async def _chained(first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in blocks:
        yield block


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
        raise StepError(f"The model provider broke off: {error}"[:500], code="model_failed") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise StepError("The model's server sent something that is not its API.", code="bad_answer") from error


def _are_vectors(vectors: Sequence[Sequence[float]]) -> bool:
    lengths = {len(vector) for vector in vectors}
    return len(lengths) == 1 and 0 not in lengths and all(math.isfinite(sum(vector)) for vector in vectors)
