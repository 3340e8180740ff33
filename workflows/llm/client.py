"""The model client: Chat Completions, streamed, and Embeddings, over OpenAI or anything that speaks its API.

The engine retries, so the client does not. Cancelling the task that waits here closes the connection.
There is no limit on the whole call; SILENCE_SECONDS without a byte end it.
"""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import openai
from django.conf import settings
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm.offline import OFFLINE
from workflows.network import cooldowns, failures

OPENAI_URL = "https://api.openai.com/v1"
SILENCE_SECONDS = 120.0
CONNECT_SECONDS = 15.0
CONTEXT_TOKENS = 100_000  # what a model is given at most, answer included, unless it is known to take less
TOO_LONG = re.compile(r"context (length|window|size)|maximum context|too many tokens|prompt is too long", re.IGNORECASE)

Message = dict[str, str]


@dataclass(frozen=True)
class Function:
    """What the model must call: the answer is then its arguments."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class ModelRequest:
    """`as_json` asks for the function's arguments as the answer's text: not every model can call functions."""

    model: str
    messages: list[Message]
    function: Function | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counted them; `cost` in US dollars, None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None

    def __add__(self, other: "Usage") -> "Usage":
        known = self.cost is not None and other.cost is not None
        cost = cast(Decimal, self.cost) + cast(Decimal, other.cost) if known else None
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, cost)


@dataclass
class ToolCall:
    """`arguments` is the JSON text that the model wrote: perhaps invalid."""

    name: str = ""
    arguments: str = ""


@dataclass
class ModelAnswer:
    """`model` is the one that answered, as the provider names it; `usage` is None where it tells none."""

    pieces: list[str] = field(default_factory=list)
    model: str = ""
    finish_reason: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ContextTooLong(PermanentError):
    """The model cannot take that much text. `limit` is its context in tokens, where it says so."""

    code = "context_length_exceeded"

    def __init__(self, message: str, limit: int | None) -> None:
        super().__init__(message)
        self.limit = limit


def resolve_model(model_id: str | None, mode_default: str | None) -> str:
    """The model's name as the provider gets it, or OFFLINE.

    The step's own, else the mode's, else DEFAULT_MODEL; then MODEL_ALIASES. Without a provider
    always OFFLINE.
    """
    config = settings.CONFIG
    name = model_id or mode_default or config.default_model or OFFLINE
    has_provider = bool(config.openai_api_key or config.openai_base_url)
    if name == OFFLINE or not has_provider:
        return OFFLINE
    return str(config.model_aliases.get(name, name))


def context_tokens(model: str) -> int:
    """How many tokens the model is given at most, its answer included."""
    try:
        _, known = get_snapshot().find_provider_model(model, None, None, _base_url())
    except LookupError:
        return CONTEXT_TOKENS
    return min(CONTEXT_TOKENS, known.context_window or CONTEXT_TOKENS)


async def complete(request: ModelRequest, on_text: Callable[[str], None]) -> ModelAnswer:
    """One call. `on_text` gets each piece of text as it arrives.

    Raises TryLater (429, 503, refused connection), ContextTooLong, PermanentError, or a StepError to be
    retried when the answer broke off: a stream without `finish_reason` is no answer.
    """
    cooldowns.check(_cooldown_key(request.model))
    answer = ModelAnswer(model=request.model)
    try:
        await _receive(request, answer, on_text)
    except openai.APIStatusError as error:
        raise _refusal(error, request.model) from error
    except openai.APITimeoutError as error:
        if not answer.finish_reason:
            raise StepError(f"The model sent nothing for {SILENCE_SECONDS:g} seconds.", code="model_silent") from error
    except openai.APIConnectionError as error:
        if not answer.finish_reason:
            raise _lost(error, request.model) from error
    except openai.APIError as error:
        raise _broken(error, request.model) from error
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
    """The vector of each text, all of one length. One call, which blocks: for threads.

    Raises TryLater, ContextTooLong, PermanentError or StepError, as `complete` does; `seconds` is how long it may take.
    """
    cooldowns.check(_cooldown_key(model))
    with _errors_of_embedding(model, seconds):
        client = _blocking_client(_base_url(), settings.CONFIG.openai_api_key).with_options(timeout=seconds)
        answer = client.embeddings.create(model=model, input=list(texts), encoding_format="float")
        found = {item.index: item.embedding for item in answer.data or []}
    vectors = [found.get(place) or [] for place in range(len(texts))]
    if not _are_vectors(vectors):
        raise StepError("The embedding model did not send one vector for each text.", code="bad_answer")
    return vectors


async def close() -> None:
    """Closes this event loop's connections. To be called before the loop ends."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.close()


async def _receive(request: ModelRequest, answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    stream = await _client().chat.completions.create(**_parameters(request))
    async with stream:
        async for chunk in cast(AsyncIterator[ChatCompletionChunk], stream):
            _take(chunk, answer, on_text)


def _take(chunk: ChatCompletionChunk, answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
    answer.model = chunk.model or answer.model
    if chunk.usage is not None:
        answer.usage = _usage(chunk.usage, answer.model)
    for choice in chunk.choices or []:
        answer.finish_reason = choice.finish_reason or answer.finish_reason
        piece = choice.delta.content or choice.delta.refusal or ""
        for call in choice.delta.tool_calls or []:
            _take_call(call.index or 0, call.function, answer)
        if piece:
            answer.pieces.append(piece)
            on_text(piece)


def _take_call(index: int, function: Any, answer: ModelAnswer) -> None:
    while len(answer.tool_calls) <= min(index, 100):
        answer.tool_calls.append(ToolCall())
    call = answer.tool_calls[min(index, 100)]
    if function is not None:
        call.name += function.name or ""
        call.arguments += function.arguments or ""


def _parameters(request: ModelRequest) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": request.model,
        "messages": request.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    function = request.function
    if function is not None and request.as_json:
        wanted = {"name": function.name, "schema": function.schema}
        parameters["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif function is not None:
        described = {
            "name": function.name,
            "description": function.description,
            "parameters": function.schema,
        }
        parameters["tools"] = [{"type": "function", "function": described}]
        parameters["tool_choice"] = "required"  # of one; naming it is refused by llama.cpp
    return parameters


# One client for each event loop and provider: its connections belong to the loop.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], openai.AsyncOpenAI]] = WeakKeyDictionary()


def _client() -> openai.AsyncOpenAI:
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    key = (_base_url(), settings.CONFIG.openai_api_key)
    if key not in clients:
        clients[key] = openai.AsyncOpenAI(
            base_url=key[0],
            api_key=key[1] or "none",  # servers without keys ignore it; the package demands one
            max_retries=0,
            timeout=openai.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
        )
    return clients[key]


@cache
def _blocking_client(base_url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=key or "none", max_retries=0)


@contextmanager
def _errors_of_embedding(model: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        raise _refusal(error, model) from error
    except openai.APITimeoutError as error:
        raise StepError(f"The model sent nothing for {seconds:g} seconds.", code="model_silent") from error
    except openai.APIConnectionError as error:
        raise _lost(error, model) from error
    except openai.APIError as error:
        raise _broken(error, model) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise StepError("The model's server sent something that is not its API.", code="bad_answer") from error


def _are_vectors(vectors: Sequence[Sequence[float]]) -> bool:
    lengths = {len(vector) for vector in vectors}
    return len(lengths) == 1 and 0 not in lengths and all(math.isfinite(sum(vector)) for vector in vectors)


def _base_url() -> str:
    return settings.CONFIG.openai_base_url or OPENAI_URL


def _usage(usage: CompletionUsage, model: str) -> Usage:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    tokens = Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0)
    return replace(tokens, cost=_cost(tokens, cached, model))


def _cost(tokens: Usage, cached: int, model: str) -> Decimal | None:
    priced = PricedUsage(input_tokens=tokens.input_tokens, cache_read_tokens=cached, output_tokens=tokens.output_tokens)
    try:
        return calc_price(priced, model, provider_api_url=_base_url()).total_price
    except (LookupError, ValueError):
        return None


def _refusal(error: openai.APIStatusError, model: str) -> StepError:
    status, said = error.status_code, _said(error)
    if error.code == "insufficient_quota":
        return PermanentError(f"The model provider's quota is used up: {said}", code="insufficient_quota")
    if status in (429, 503):
        delay = failures.retry_after(error.response.headers)
        return _try_later(f"The model provider is busy ({status}): {said}", model, delay)
    if _is_too_long(error, said):
        return _too_long(error, said)
    if status >= 500 or status in (408, 409, 425):
        return StepError(f"The model provider failed ({status}): {said}", code="model_failed")
    return _rejection(status, said, model)


def _rejection(status: int, said: str, model: str) -> PermanentError:
    """What cannot succeed until somebody changes something: the message says what."""
    if status == 401:
        return PermanentError(f"The model provider wants a valid OPENAI_API_KEY: {said}", code="unauthorized")
    if status == 403:
        return PermanentError(f"This OPENAI_API_KEY may not use the model {model}: {said}", code="forbidden")
    if status == 404:
        names = "the modelId, DEFAULT_MODEL, MODEL_ALIASES or EMBEDDING_MODEL"
        remedy = f"check {names}, and OPENAI_BASE_URL (it usually ends in /v1)"
        return PermanentError(f"The provider has no model {model}: {remedy}. It said: {said}", code="model_not_found")
    return PermanentError(f"The model provider rejected the request ({status}): {said}", code="model_rejected")


def _lost(error: openai.APIConnectionError, model: str) -> StepError:
    where = _base_url()
    if failures.is_refused(error):
        return _try_later(f"Nothing answers at OPENAI_BASE_URL {where}: is the server running?", model, None)
    if failures.is_unknown_host(error):
        return StepError(f"The host of OPENAI_BASE_URL {where} is not known.", code="unknown_host")
    if failures.is_bad_certificate(error):
        return PermanentError(f"The certificate of {where} is not trusted.", code="bad_certificate")
    return StepError("The connection to the model was cut.", code="connection_cut")


def _broken(error: openai.APIError, model: str) -> StepError:
    """An error sent in the middle of a stream."""
    said = _said(error)
    if _is_too_long(error, said):
        return _too_long(error, said)
    if error.code in ("429", "503", "rate_limit_exceeded"):
        return _try_later(f"The model provider is busy: {said}", model, None)
    return StepError(f"The model provider broke off: {said}", code="model_failed")


def _try_later(message: str, model: str, delay: float | None) -> TryLater:
    return TryLater(message, code="model_busy", delay=delay, cooldown=_cooldown_key(model))


def _cooldown_key(model: str) -> str:
    return f"model:{_base_url()}:{model}"


def _is_too_long(error: openai.APIError, said: str) -> bool:
    by_name = {error.code, error.type} & {"context_length_exceeded", "exceed_context_size_error"}
    return bool(by_name or (getattr(error, "status_code", 400) in (400, 413) and TOO_LONG.search(said)))


def _too_long(error: openai.APIError, said: str) -> ContextTooLong:
    body = error.body if isinstance(error.body, dict) else {}
    named = re.search(r"context (?:length|window|size) (?:is|of) \(?(\d+)", said)
    limit = body.get("n_ctx") or (named and named[1])
    return ContextTooLong(
        f"The text is longer than this model can take (context_length_exceeded): {said}",
        int(limit) if limit else None,
    )


def _said(error: openai.APIError) -> str:
    """The provider's own words, short, without the key."""
    body = error.body.get("message") if isinstance(error.body, dict) else error.body
    said = " ".join(str(body or error.message).split())[:500]
    key = settings.CONFIG.openai_api_key
    return said.replace(key, "[key]") if key else said
