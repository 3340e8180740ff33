"""What failed steps have in common: the tool or model, the error's code, and the pattern of its message."""

import re
from collections.abc import Mapping
from typing import Any

from django.db.models import Q

from workflows.models import StepStatus, WorkflowStep

MODEL_STEP = "model step"
"""What failed, for a model step of which no model has answered."""
MASK = "…"
FAILURE_FILTERS = ("failed", "code", "message")
"""Filters of lists of jobs: they have a failed step of this tool or model, with this code and pattern."""
MAX_MESSAGE = 500
MAX_PARTS = 60
"""How many parts of a pattern a search compares: PostgreSQL refuses regular expressions that are too complex."""

_QUOTED = r'"[^"\n]*"|„[^“\n]*“|“[^”\n]*”|«[^»\n]*»|(?<!\w)\'[^\'\n]*\'(?!\w)'
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HEX = r"\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{16,}\b"
_VARIABLE = re.compile(f"{_QUOTED}|{_UUID}|{_HEX}|[0-9]+")


def pattern_of(message: str) -> str:
    """The beginning of the message without what differs between alike failures: numbers, ids and quoted text."""
    beginning = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + MASK
    return _VARIABLE.sub(MASK, beginning)


def has_failed_step(filters: Mapping[str, Any]) -> Q:
    """The filters of FAILURE_FILTERS, each optional."""
    steps = WorkflowStep.objects.filter(status=StepStatus.FAILED)
    if failed := filters.get("failed"):
        model = "" if failed == MODEL_STEP else failed
        steps = steps.filter(Q(tool=failed) | Q(tool="", model=model))
    if code := filters.get("code"):
        steps = steps.filter(error__code=code)
    if message := filters.get("message"):
        steps = steps.filter(error__message__regex=_as_regex(message))
    return Q(pk__in=steps.values("execution"))


def _as_regex(pattern: str) -> str:
    parts = [re.escape(part) for part in pattern.split(MASK)]
    is_whole = len(parts) <= MAX_PARTS
    return "^" + ".*".join(parts[:MAX_PARTS]) + ("$" if is_whole else "")
