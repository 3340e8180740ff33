"""What goes to a model and what comes back: requests, answers, tool calls, and the tokens they took."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

Message = dict[str, str]

_THINKING = re.compile(r"\A\s*(?:<(think|thinking|thought)>)?(.*?)</(?:think|thinking|thought)>\s*", re.DOTALL)
"""At the beginning of an answer. Some chat templates write the opening tag into the prompt, so it may be missing."""
_UNFINISHED = re.compile(r"\A\s*<(?:think|thinking|thought)>(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Function:
    """A function that the model must call. Its answer is then the arguments."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class ModelRequest:
    """With `as_json` the function's arguments are asked for as text, because not every model can call functions."""

    model: str
    messages: list[Message]
    function: Function | None = None
    as_json: bool = False


@dataclass(frozen=True)
class TokenUsage:
    """Model tokens as the provider counted them. `cost` is in US dollars, None if no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        known = self.cost is not None and other.cost is not None
        cost = cast(Decimal, self.cost) + cast(Decimal, other.cost) if known else None
        return TokenUsage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, cost)


@dataclass
class ToolCall:
    """`arguments` is the JSON text that the model wrote. It may be invalid. `id` and `index` are the provider's."""

    name: str = ""
    arguments: str = ""
    id: str = ""
    index: int | None = None


@dataclass
class ModelAnswer:
    """`model` is the provider's name for the model that answered. `usage` is None if the provider sent none.

    `parts` are the text as it came, `thinking_parts` what the provider marked as thinking.
    """

    parts: list[str] = field(default_factory=list)
    model: str = ""
    finish_reason: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    usage: TokenUsage | None = None
    thinking_parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer, without the thinking before it."""
        written = whole("".join(self.parts))
        if _UNFINISHED.match(written) and not _THINKING.match(written):
            return ""
        return _THINKING.sub("", written, count=1)

    @property
    def thinking(self) -> str:
        """What the model wrote before its answer, in fields of its own or between tags. Empty if it did not think."""
        written = whole("".join(self.parts))
        marked = whole("".join(self.thinking_parts))
        if found := _THINKING.match(written):
            return (marked + found[2]).strip()
        if found := _UNFINISHED.match(written):
            return (marked + found[1]).strip()
        return marked.strip()


def whole(text: str) -> str:
    """Text whose surrogate pairs may have come in two parts, each half by itself."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
