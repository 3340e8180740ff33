"""What goes to a model and what comes back: requests, answers, tool calls, and the tokens they took."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

Message = dict[str, str]


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
    """`arguments` is the JSON text that the model wrote. It may be invalid."""

    name: str = ""
    arguments: str = ""


@dataclass
class ModelAnswer:
    """`model` is the provider's name for the model that answered. `usage` is None if the provider sent none."""

    parts: list[str] = field(default_factory=list)
    model: str = ""
    finish_reason: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    usage: TokenUsage | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)
