"""What an error of the model's provider means for a step: a retry, a wait, or the end."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm.model_catalog import base_url, cooldown_key
from workflows.network import network_errors

if TYPE_CHECKING:
    import openai  # client.py alone imports it when the program runs

BUSY_STATUSES = (429, 503, 529)
_BUSY = re.compile(
    r"rate.?limit|too many requests|overloaded|over capacity|at capacity|resource.?exhausted", re.IGNORECASE
)
_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "3051"}
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size|limit)|maximum context|max_model_len|too many (input )?tokens"
    r"|(prompt|input|text|message)s? (is |are )?too (long|large)"
    r"|(input|prompt).{0,40}exceeds?.{0,60}(token|limit|length)"
    r"|token count.{0,40}exceeds|maximum number of tokens|reduce the length|`inputs`.{0,60}tokens.{0,60}must"
    r"|tokens.{0,30}too large for|exceeds? the maximum.{0,20}(tokens|length)",
    re.IGNORECASE | re.DOTALL,
)
_LIMIT = re.compile(
    r"(?:context (?:length|window|size)|limit|max_model_len|maximum)[^\d.;]{0,60}?\(?(\d{3,8})"
    r"|must be <=? ?(\d{3,8})|model with (\d{3,8})|(\d{3,8}) maximum context",
    re.IGNORECASE,
)


class ContextTooLong(PermanentError):
    """The text is longer than the model's context. `limit` is its context in tokens, if the provider names it."""

    code = "context_length_exceeded"

    def __init__(self, message: str, limit: int | None) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True)
class _Problem:
    """An error as the provider sent it. `status` is its HTTP status, or the number that JSON has instead."""

    status: int
    names: frozenset[str]
    words: str
    retry_after: float | None = None
    context: Any = None


def of_status(error: "openai.APIStatusError", model: str) -> StepError:
    """The provider answered with an HTTP status that is an error."""
    body = error.body if isinstance(error.body, Mapping) else {}
    delay = network_errors.retry_after(error.response.headers)
    names = frozenset(str(name) for name in (error.code, error.type, body.get("status")) if name)
    return _meaning(_Problem(error.status_code, names, _words_of(error), delay, body.get("n_ctx")), model)


def error_in(data: Mapping[str, Any], model: str) -> StepError | None:
    """The error in a body or an event that came with status 200. None if it is no error."""
    error = data.get("error")
    if not error and data.get("object") != "error" and not (data.get("detail") and "choices" not in data):
        return None
    named = error if isinstance(error, Mapping) else data
    words = named.get("message") or named.get("detail") or (error if isinstance(error, str) else json.dumps(data))
    names = [str(named.get(name)) for name in ("code", "type", "status") if named.get(name)]
    status = next((int(name) for name in names if name.isdigit() and len(name) == 3), 0)
    return _meaning(_Problem(status, frozenset(names), _shown(words)), model)


def of_connection(error: Exception, model: str) -> StepError:
    """The provider could not be reached, or the connection broke."""
    url = base_url()
    if network_errors.is_refused(error):
        return _try_later(f"Nothing answers at OPENAI_BASE_URL {url}: is the server running?", model, None)
    if network_errors.is_unknown_host(error):
        return StepError(f"The host of OPENAI_BASE_URL {url} is not known.", code="unknown_host")
    if network_errors.is_bad_certificate(error):
        return PermanentError(f"The certificate of {url} is not trusted.", code="bad_certificate")
    return StepError("The connection to the model was cut.", code="connection_cut")


def full_text_of(error: "openai.APIStatusError") -> str:
    """Every text in the provider's error, whatever its form."""
    return f"{error.message} {json.dumps(error.body, default=str)}"


def _meaning(problem: _Problem, model: str) -> StepError:
    status, words = problem.status, problem.words
    if "insufficient_quota" in problem.names:
        return PermanentError(f"The model provider's quota is used up: {words}", code="insufficient_quota")
    if _is_too_long(problem):
        return _too_long(problem)
    is_named_busy = any(_BUSY.search(name) for name in problem.names) or (status in (0, 500) and _BUSY.search(words))
    if status in BUSY_STATUSES or is_named_busy:
        return _try_later(f"The model provider is busy ({status or 'no status'}): {words}", model, problem.retry_after)
    if problem.retry_after is not None:
        return _try_later(f"The model provider asks to wait ({status}): {words}", model, problem.retry_after)
    if status >= 500 or status in (0, 408, 409, 425):
        return StepError(f"The model provider failed ({status or 'no status'}): {words}", code="model_failed")
    return _rejection(status, words, model)


def _rejection(status: int, words: str, model: str) -> PermanentError:
    """An error that lasts until someone changes a setting or the request. The message says which."""
    if status == 401:
        return PermanentError(f"The model provider wants a valid OPENAI_API_KEY: {words}", code="unauthorized")
    if status == 403:
        return PermanentError(f"This OPENAI_API_KEY may not use the model {model}: {words}", code="forbidden")
    if status == 404:
        names = "the modelId, DEFAULT_MODEL, MODEL_ALIASES or EMBEDDING_MODEL"
        remedy = f"check {names}, and OPENAI_BASE_URL (it usually ends in /v1)"
        return PermanentError(f"The provider has no model {model}: {remedy}. It said: {words}", code="model_not_found")
    return PermanentError(f"The model provider rejected the request ({status}): {words}", code="model_rejected")


def _try_later(message: str, model: str, delay: float | None) -> TryLater:
    return TryLater(message, code="model_busy", delay=delay, cooldown=cooldown_key(model))


def _is_too_long(problem: _Problem) -> bool:
    if problem.names & _TOO_LONG_CODES:
        return True
    return problem.status in (0, 400, 413, 422, 500) and bool(_TOO_LONG.search(problem.words))


def _too_long(problem: _Problem) -> ContextTooLong:
    named = _LIMIT.search(problem.words)
    limit = str(problem.context or (named and next(group for group in named.groups() if group)))
    return ContextTooLong(
        f"The text is longer than this model can take (context_length_exceeded): {problem.words}",
        int(limit) if limit.isdecimal() else None,
    )


def _words_of(error: "openai.APIError") -> str:
    body = error.body
    if isinstance(body, list) and body and isinstance(body[0], Mapping):  # Gemini's gateway
        body = body[0].get("error", body[0])
    if isinstance(body, Mapping):
        return _shown(body.get("message") or body.get("detail") or body.get("error") or error.message)
    return _shown(body or error.message)


def _shown(words: Any) -> str:
    """The provider's own words, cut short and without the key."""
    text = words if isinstance(words, str) else json.dumps(words, default=str)
    shown = " ".join(text.split())[:500]
    key = settings.CONFIG.openai_api_key
    return shown.replace(key, "[key]") if key else shown
