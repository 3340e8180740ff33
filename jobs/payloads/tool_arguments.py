"""Checks the arguments of a step: against its tool's own model, and for placeholders that nothing would replace."""

import json
from itertools import islice
from typing import Any

from pydantic import ValidationError
from rest_framework.exceptions import ErrorDetail

from aiworkstation.web.serializers import MAX_ERRORS, Errors, invalid
from workflows import placeholders, tools

Found = Errors | list[ErrorDetail]


def argument_errors(slug: str, arguments: dict[str, Any]) -> Found:
    """Returns the errors by argument, nested like the arguments, or one list for all of them. Empty if all are valid.

    An argument with a `{{secret.NAME}}` is checked when the step runs, with the secret filled in.
    """
    tool = tools.get(slug)
    if tool is None:
        return {}
    errors: Errors = {}
    for path, text in islice(placeholders.not_secret(arguments), MAX_ERRORS):
        _put(errors, path, placeholders.argument_message(text), "placeholder")
    try:
        tool.Arguments.model_validate(arguments)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False)[:MAX_ERRORS]:
            if _may_be_a_secret(item["type"], item["input"]):
                continue
            if not item["loc"]:
                return errors or invalid(f"{item['msg']}.", item["type"])
            _put(errors, item["loc"], f"{tools.reason(tool, item)}.", item["type"])
    return errors


def _may_be_a_secret(kind: str, value: Any) -> bool:
    if isinstance(value, str):
        return bool(placeholders.SECRET.search(value))
    # A rule over several arguments: the secret may be in one of them.
    return kind in ("value_error", "assertion_error") and bool(
        placeholders.SECRET.search(json.dumps(value, default=str))
    )


def _put(found: Errors, path: tuple[int | str, ...], message: str, code: str) -> None:
    *parents, last = path
    for part in parents:
        inner = found.setdefault(str(part), {})
        if not isinstance(inner, dict):
            return
        found = inner
    found.setdefault(str(last), invalid(message, code))
