"""What an error of the model's provider means for a step: a retry, a wait, or the end."""

import re
from typing import TYPE_CHECKING

from django.conf import settings

from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm.model_catalog import base_url, cooldown_key
from workflows.network import network_errors

if TYPE_CHECKING:
    import openai  # client.py alone imports it when the program runs

TOO_LONG = re.compile(r"context (length|window|size)|maximum context|too many tokens|prompt is too long", re.IGNORECASE)


class ContextTooLong(PermanentError):
    """The text is longer than the model's context. `limit` is its context in tokens, if the provider names it."""

    code = "context_length_exceeded"

    def __init__(self, message: str, limit: int | None) -> None:
        super().__init__(message)
        self.limit = limit


def of_status(error: "openai.APIStatusError", model: str) -> StepError:
    """The provider answered with an HTTP status that is an error."""
    status, words = error.status_code, _words_of(error)
    if error.code == "insufficient_quota":
        return PermanentError(f"The model provider's quota is used up: {words}", code="insufficient_quota")
    if status in (429, 503):
        delay = network_errors.retry_after(error.response.headers)
        return _try_later(f"The model provider is busy ({status}): {words}", model, delay)
    if _is_too_long(error, words):
        return _too_long(error, words)
    if status >= 500 or status in (408, 409, 425):
        return StepError(f"The model provider failed ({status}): {words}", code="model_failed")
    return _rejection(status, words, model)


def of_connection(error: "openai.APIConnectionError", model: str) -> StepError:
    """The provider could not be reached, or the connection broke."""
    url = base_url()
    if network_errors.is_refused(error):
        return _try_later(f"Nothing answers at OPENAI_BASE_URL {url}: is the server running?", model, None)
    if network_errors.is_unknown_host(error):
        return StepError(f"The host of OPENAI_BASE_URL {url} is not known.", code="unknown_host")
    if network_errors.is_bad_certificate(error):
        return PermanentError(f"The certificate of {url} is not trusted.", code="bad_certificate")
    return StepError("The connection to the model was cut.", code="connection_cut")


def of_stream(error: "openai.APIError", model: str) -> StepError:
    """The provider sent an error in the middle of a stream."""
    words = _words_of(error)
    if _is_too_long(error, words):
        return _too_long(error, words)
    if error.code in ("429", "503", "rate_limit_exceeded"):
        return _try_later(f"The model provider is busy: {words}", model, None)
    return StepError(f"The model provider broke off: {words}", code="model_failed")


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


def _is_too_long(error: "openai.APIError", words: str) -> bool:
    by_name = {error.code, error.type} & {"context_length_exceeded", "exceed_context_size_error"}
    return bool(by_name or (getattr(error, "status_code", 400) in (400, 413) and TOO_LONG.search(words)))


def _too_long(error: "openai.APIError", words: str) -> ContextTooLong:
    body = error.body if isinstance(error.body, dict) else {}
    named = re.search(r"context (?:length|window|size) (?:is|of) \(?(\d+)", words)
    limit = body.get("n_ctx") or (named and named[1])
    return ContextTooLong(
        f"The text is longer than this model can take (context_length_exceeded): {words}",
        int(limit) if limit else None,
    )


def _words_of(error: "openai.APIError") -> str:
    """The provider's own message, cut short and without the key."""
    body = error.body.get("message") if isinstance(error.body, dict) else error.body
    words = " ".join(str(body or error.message).split())[:500]
    key = settings.CONFIG.openai_api_key
    return words.replace(key, "[key]") if key else words
