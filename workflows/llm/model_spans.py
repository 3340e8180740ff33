"""The spans of calls of models, with the names of OpenTelemetry's conventions for generative AI.

They have models, counts and codes, and neither prompts nor answers.
"""

from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from aiworkstation import tracing
from workflows.llm.chat import ModelAnswer
from workflows.llm.model_catalog import base_url
from workflows.llm.offline import OFFLINE


def model_span(operation: str, model: str) -> AbstractContextManager[tracing.Span]:
    """A span around a call. `operation` is `chat` or `embeddings`."""
    attributes = {"gen_ai.operation.name": operation, "gen_ai.request.model": model, **_provider(model)}
    return tracing.span(f"{operation} {model}", "client", attributes)


def attributes_of(answer: ModelAnswer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": [answer.finish_reason],
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
    }


def _provider(model: str) -> dict[str, Any]:
    """Every server that speaks OpenAI's API counts as `openai`, as the conventions say."""
    if model == OFFLINE:
        return {"gen_ai.provider.name": f"aiworkstation.{OFFLINE}"}
    address = urlsplit(base_url())
    return {"gen_ai.provider.name": "openai", "server.address": address.hostname, "server.port": address.port}
