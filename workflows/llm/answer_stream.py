"""Puts an answer together from what a provider sends: the chunks of a stream, or a whole answer.

Servers that speak OpenAI's API differ in what they send. docs/providers.md lists the manners that are understood, and
tests/workflows/llm/test_provider_manners.py plays each.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from workflows.errors import PermanentError
from workflows.llm.chat import ModelAnswer, TokenUsage, ToolCall
from workflows.llm.model_catalog import cost

MAX_CHARACTERS = 4_000_000
"""The limit for one answer: far more than any model writes, and little enough to store."""
MAX_TOOL_CALLS = 100
MAX_NAME = 200
MAX_TOKENS = 2**53
MAX_SEARCHED = 10 * MAX_CHARACTERS
"""Characters that are read to find JSON in a text. Each place that only looks like its beginning may cost many."""
_OBJECT = re.compile(r'\{\s*["}]')
_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")


class AnswerTooLarge(PermanentError):
    """The model's answer is larger than an answer may be."""

    code = "answer_too_large"


class AnswerStream:
    """Adds chunks to `answer`. `on_text` gets each part of the text."""

    def __init__(self, answer: ModelAnswer, on_text: Callable[[str], None]) -> None:
        self.answer = answer
        self.on_text = on_text
        self._left = MAX_CHARACTERS

    def add(self, chunk: Mapping[str, Any]) -> None:
        """A chunk, or a whole answer: that has a `message` where a chunk has a `delta`."""
        answer = self.answer
        if isinstance(name := chunk.get("model"), str) and name:
            answer.model = name[:MAX_NAME]
        if isinstance(usage := chunk.get("usage"), Mapping):
            answer.usage = _token_usage(usage, answer.model) or answer.usage
        for choice in _mappings(chunk.get("choices")):
            self._add_choice(choice)

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.answer.finish_reason = reason[:MAX_NAME]
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, Mapping):
            return
        for name in _THINKING_FIELDS:
            if text := _text_of(delta.get(name)):
                self._keep(self.answer.thinking_parts, text)
                break
        for thinking, text in _parts_of(delta.get("content")):
            self._keep(self.answer.thinking_parts if thinking else self.answer.parts, text)
            if not thinking:
                self.on_text(text)
        if not delta.get("content") and (text := _text_of(delta.get("refusal"))):
            self._keep(self.answer.parts, text)
            self.on_text(text)
        for call in _mappings(delta.get("tool_calls")):
            self._add_call(call, call.get("function"))
        if isinstance(function := delta.get("function_call"), Mapping):
            self._add_call({"index": 0}, function)

    def _add_call(self, delta: Mapping[str, Any], function: Any) -> None:
        function = function if isinstance(function, Mapping) else {}
        name, arguments = _text_of(function.get("name")), function.get("arguments")
        call = self._call_for(_text_of(delta.get("id")), delta.get("index"), name)
        if name != call.name:
            # Most servers send the name once. Some send it in each delta, some in parts, some grow it.
            call.name = (name if name.startswith(call.name) else call.name + name)[:MAX_NAME]
        if isinstance(arguments, str):
            self._spend(len(arguments))
            call.arguments += arguments
        elif arguments is not None:
            call.arguments = json.dumps(arguments)

    def _call_for(self, id: str, index: Any, name: str) -> ToolCall:
        """The call that a delta belongs to, a new one if it begins one.

        A known id names a call. An unknown one begins a call if it comes with a name. Otherwise the delta belongs to
        the latest call of its index, or the latest of all, unless that has complete arguments and here is a name again.
        """
        calls = self.answer.tool_calls
        if id and (known := next((call for call in calls if call.id == id), None)):
            return known
        same = [call for call in calls if not isinstance(index, int) or call.index == index]
        continues = bool(same) and not (name and (id or _is_json(same[-1].arguments)))
        if continues or len(calls) >= MAX_TOOL_CALLS:
            return same[-1] if same else calls[-1]
        calls.append(ToolCall(id=id, index=index if isinstance(index, int) else None))
        return calls[-1]

    def _keep(self, parts: list[str], text: str) -> None:
        self._spend(len(text))
        parts.append(text)

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise AnswerTooLarge(f"The model's answer has more than {MAX_CHARACTERS:,} characters.")


def arguments_in(text: str) -> str | None:
    """The JSON object in an answer that wrote its arguments as text, perhaps in a code fence. None if there is none."""
    decoder = json.JSONDecoder()
    left = MAX_SEARCHED
    for found in _OBJECT.finditer(text):
        start = found.start()
        try:
            _, end = decoder.raw_decode(text, start)
        except RecursionError:
            return None  # what lies inside is nested too deeply as well
        except ValueError as error:
            place = getattr(error, "pos", len(text))  # an error of a number has none
            # The error also counts the lines before it, about a hundred times as fast as JSON is read.
            left -= place - start + place // 100
            if left < 0:
                return None
        else:
            return text[start:end]
    return None


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return [value]
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text_of(value: Any) -> str:
    """Text, or the texts of a list of parts."""
    if isinstance(value, str):
        return value
    return "".join(text for _, text in _parts_of(value)) if isinstance(value, list) else ""


def _parts_of(content: Any) -> Iterable[tuple[bool, str]]:
    """Texts, each with whether it is thinking. Content is text or a list of parts."""
    if isinstance(content, str):
        return [(False, content)] if content else []
    found = []
    for part in _mappings(content):
        thinking = part.get("type") in ("thinking", "reasoning") or part.get("thought") is True
        text = _text_of(part.get("thinking") or part.get("text") or part.get("refusal"))
        if text:
            found.append((thinking, text))
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _token_usage(usage: Mapping[str, Any], model: str) -> TokenUsage | None:
    """None if the provider's numbers are none: then nothing is counted."""
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
    given, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if given is None or written is None:
        return None
    tokens = TokenUsage(given, written)
    return replace(tokens, cost=cost(tokens, min(cached or 0, given), model))


def _count(value: Any) -> int | None:
    """A number of tokens. Some servers leave it out, or send null: that is 0."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKENS:
        return None
    return int(value) if int(value) == value else None
