"""Arguments of a step against its tool's own model of them."""

import json
from typing import Any

from pydantic import ValidationError
from rest_framework.exceptions import ErrorDetail

from aiworkstation.web.serializers import Errors, invalid
from workflows import tools
from workflows.network.secrets import REFERENCE


def argument_errors(slug: str, arguments: dict[str, Any]) -> Errors | list[ErrorDetail]:
    """By the names of the arguments, nested as they are, or of all together; empty where all are right.

    A `{{secret.NAME}}` is judged when the step runs, filled in.
    """
    tool = tools.get(slug)
    if tool is None:
        return {}
    try:
        tool.Arguments.model_validate(arguments)
    except ValidationError as error:
        found: Errors = {}
        for item in error.errors(include_url=False, include_context=False):
            if _may_be_a_secret(item["type"], item["input"]):
                continue
            if not item["loc"]:
                return invalid(f"{item['msg']}.", item["type"])
            _put(found, item["loc"], item["msg"], item["type"])
        return found
    return {}


def _may_be_a_secret(kind: str, value: Any) -> bool:
    if isinstance(value, str):
        return bool(REFERENCE.search(value))
    # A rule over several arguments: one of them may be what the secret decides.
    return kind in ("value_error", "assertion_error") and bool(REFERENCE.search(json.dumps(value, default=str)))


def _put(found: Errors, path: tuple[int | str, ...], message: str, code: str) -> None:
    *parents, last = path
    for part in parents:
        inner = found.setdefault(str(part), {})
        if not isinstance(inner, dict):
            return
        found = inner
    found.setdefault(str(last), invalid(f"{message}.", code))
