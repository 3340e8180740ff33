"""Checks the arguments of a step: against its tool's own model, and for placeholders that nothing would replace."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import ValidationError
from rest_framework.exceptions import ErrorDetail

from aiworkstation.web.serializers import MAX_ERRORS, Errors, invalid
from workflows import placeholders, tools
from workflows.network import secrets

Found = Errors | list[ErrorDetail]


def argument_errors(slug: str, arguments: dict[str, Any]) -> Found:
    """Returns the errors by argument, nested like the arguments, or one list for all. Empty if all are valid."""
    tool = tools.get(slug)
    if tool is None:
        return {}
    errors: Errors = {}
    for path, text in islice(placeholders.not_secret(arguments), MAX_ERRORS):
        _put(errors, path, placeholders.argument_message(text), "placeholder")
    for path in islice(_misplaced_secrets(tool, arguments), MAX_ERRORS):
        _put(errors, path, f"A secret cannot be here. {_allowed_places(tool)}", "secret_not_allowed_here")
    try:
        tool.Arguments.model_validate(arguments)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False)[:MAX_ERRORS]:
            if not item["loc"]:
                return errors or invalid(f"{item['msg']}.", item["type"])
            _put(errors, item["loc"], f"{tools.reason(tool, item)}.", item["type"])
    return errors


def _misplaced_secrets(tool: tools.Tool, arguments: dict[str, Any]) -> Iterator[placeholders.Path]:
    yield from placeholders.misplaced_secrets(arguments)
    for name, value in arguments.items():
        is_misplaced = name == "url" and isinstance(value, str) and placeholders.misplaced_in_url(value)
        if is_misplaced or (name not in tool.secrets_in and secrets.names(value)):
            yield (name,)


def _allowed_places(tool: tools.Tool) -> str:
    if not tool.secrets_in:
        return f"{tool.slug} takes no secrets."
    known = ", ".join(sorted(tool.secrets_in))
    return f"It can be in a value of {known}; in a url, in a value of the query."


def _put(found: Errors, path: tuple[int | str, ...], message: str, code: str) -> None:
    *parents, last = path
    for part in parents:
        inner = found.setdefault(str(part), {})
        if not isinstance(inner, dict):
            return
        found = inner
    found.setdefault(str(last), invalid(message, code))
