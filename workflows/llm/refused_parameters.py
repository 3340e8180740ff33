"""Parameters of a request that a provider refuses: the next request goes without them.

Not every server takes everything that OpenAI does. What one has refused is remembered for its model, in this process.
"""

import re
from typing import TYPE_CHECKING, Any

from workflows.llm.model_catalog import base_url
from workflows.llm.provider_errors import full_text_of

if TYPE_CHECKING:
    import openai  # client.py alone imports it when the program runs

# In this order: a message about `tool_choice` mentions tools too, one about `stream_options` streams.
_MENTIONS = {
    "tool_choice": r"tool[_ -]?choice",
    "tools": r"\btools?\b|function[_ -]?call|functions",
    "response_format": r"response[_ -]?format|json[_ -]?(schema|mode|object)|structured output|guided",
    "stream_options": r"stream[_ -]?options|include[_ -]?usage",
    "stream": r"\bstream(ing|ed)?\b",
}

_refused: dict[tuple[str, str], set[str]] = {}


class ToolsRefused(Exception):
    """The model takes no tools: ask for JSON instead."""


def refused_by(model: str) -> set[str]:
    return _refused.setdefault((base_url(), model), set())


def note_refused(error: "openai.APIStatusError", parameters: dict[str, Any]) -> bool:
    """Remembers which parameter the error is about. False if it is about none that the request had."""
    if error.status_code not in (400, 404, 405, 422, 500, 501):
        return False
    refused = refused_by(str(parameters["model"]))
    text = f"{error.param or ''} {full_text_of(error)}"
    for name, mention in _MENTIONS.items():
        is_sent = bool(parameters.get(name)) and name not in refused
        if is_sent and re.search(mention, text, re.IGNORECASE):
            refused.add(name)
            return True
    return False


def without_refused(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that this model takes. Raises ToolsRefused if it takes no tools and the request needs them."""
    refused = refused_by(str(parameters["model"]))
    if "tools" in refused and "tools" in parameters:
        raise ToolsRefused
    kept = {name: value for name, value in parameters.items() if name not in refused}
    if "stream" in refused:
        kept.pop("stream_options", None)
    return kept
