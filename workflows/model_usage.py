"""Model tokens and their cost, as rows hold them: a bad row shows less, and never breaks a list or a page.

What a provider reports is checked when it arrives. Rows may be older than that check, or written by something else.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX_TOKENS = 2**53 - 1
"""The largest whole number that every reader of JSON keeps."""
_COST = r"\d{1,12}(\.\d{1,30})?([eE][-+]?0?\d)?"
"""A cost as text, also `1E-7`, but not NaN, Infinity or 1e400."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Model tokens, and their cost in US dollars as text: None if no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = None

    @property
    def text(self) -> str:
        """Empty if no tokens were used."""
        if not self.input_tokens and not self.output_tokens:
            return ""
        cost = f", ${self.cost}" if self.cost else ""
        return f"{self.input_tokens:,} tokens in, {self.output_tokens:,} out{cost}"


def usage_of(stored: Any) -> Usage | None:
    """Reads a step's usage. None if it has none. What is no count or cost does not count."""
    if not isinstance(stored, dict):
        return None
    cost = stored.get("costUsd")
    is_known = not isinstance(cost, bool) and re.fullmatch(_COST, str(cost), re.ASCII) is not None
    return Usage(_count(stored.get("inputTokens")), _count(stored.get("outputTokens")), str(cost) if is_known else None)


def usage_json(stored: Any) -> dict[str, Any] | None:
    """The same as the API shows it."""
    usage = usage_of(stored)
    if usage is None:
        return None
    return {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "costUsd": usage.cost}


def usage_of_sums(input_tokens: Decimal, output_tokens: Decimal, cost: Decimal | None) -> Usage:
    return Usage(int(input_tokens), int(output_tokens), None if cost is None else f"{cost:f}")


def _count(value: Any) -> int:
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), MAX_TOKENS)


def _sum_of(key: str) -> str:
    return f"""coalesce(sum(CASE WHEN jsonb_typeof(usage->'{key}') = 'number'
    THEN least(greatest(trunc((usage->>'{key}')::numeric), 0), {MAX_TOKENS}) END), 0)"""


# The cost is known only if every step that used a model knows its own cost.
SUMS = f"""
  {_sum_of("inputTokens")},
  {_sum_of("outputTokens")},
  CASE WHEN bool_and(coalesce(usage->>'costUsd' ~ '^{_COST}$', false)) FILTER (WHERE jsonb_typeof(usage) = 'object')
    THEN sum(CASE WHEN usage->>'costUsd' ~ '^{_COST}$' THEN (usage->>'costUsd')::numeric END) END
"""
"""Columns for `usage_of_sums`: the sums over a job's steps. The same rules as those of `usage_of`."""
