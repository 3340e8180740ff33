"""How servers really speak OpenAI's protocol. docs/providers.md has the same list; each entry is played here."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field

from tests.servers.local import Handler, LocalServer
from tests.workflows.conftest import Configure
from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm import client, refused_parameters
from workflows.llm.answer_stream import MAX_CHARACTERS, arguments_in
from workflows.llm.chat import ModelAnswer, ModelRequest, TokenUsage
from workflows.llm.model_step import ChosenArguments, choose_arguments, run_model_step
from workflows.llm.prompt import ModelTask
from workflows.llm.provider_errors import ContextTooLong
from workflows.tools import Arguments, StepContext, Tool

HELLO = [{"role": "user", "content": "Say hello"}]
TASK = ModelTask("Weather", "Is it raining in Zürich?", model_id="m")
DONE = b"data: [DONE]\n\n"


class Provider(LocalServer):
    """Answers each call with the next of `answers`: a status, a content type, and bytes."""

    def __init__(self) -> None:
        super().__init__(Speaker)
        self.answers: list[tuple[int, str, bytes, dict[str, str]]] = []

    def say(self, *answers: Any, status: int = 200, kind: str = "", headers: dict[str, str] | None = None) -> None:
        """Each is a list of chunks for a stream, bytes for a body, or JSON."""
        for answer in answers:
            is_stream = isinstance(answer, list)
            body = (
                stream(*answer) if is_stream else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            )
            self.answers.append(
                (status, kind or ("text/event-stream" if is_stream else "application/json"), body, headers or {})
            )

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request["body"] for request in self.requests]


class Speaker(Handler):
    server: Provider

    def do_POST(self) -> None:
        self.read_request()
        status, kind, body, headers = self.server.answers.pop(0)
        self.answer(status, body, {"content-type": kind, **headers})


@pytest.fixture
def provider(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(refused_parameters, "_refused", {})
    with Provider() as server:
        configure(openai_base_url=f"{server.url}/v1")
        yield server


def stream(*chunks: Any) -> bytes:
    """Chunks that are bytes go out as they are."""
    return b"".join(c if isinstance(c, bytes) else b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + DONE


def delta(content: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    given = {} if content is None else {"content": content}
    return {"model": "m-1", "choices": [{"index": 0, "delta": {**given, **more}, "finish_reason": finish}]}


END = delta(finish="stop")


def ask() -> ModelAnswer:
    async def call() -> ModelAnswer:
        try:
            return await client.complete(ModelRequest("m", HELLO), lambda text: None)
        finally:
            await client.close()

    return asyncio.run(call())


def fails() -> StepError:
    with pytest.raises(StepError) as caught:
        ask()
    return caught.value


class Weather(Tool):
    slug = "GET_WEATHER"
    description = "Returns the weather."

    class Arguments(Arguments):
        city: str
        days: int = Field(default=1)


def context() -> StepContext:
    from uuid import uuid4

    return StepContext(uuid4(), uuid4(), "Weather", 1, "key", 1, "alice")


def choose() -> ChosenArguments:
    async def call() -> ChosenArguments:
        try:
            return await choose_arguments(context(), Weather(), TASK)
        finally:
            await client.close()

    return asyncio.run(call())


def run_step() -> dict[str, Any]:
    async def call() -> dict[str, Any]:
        try:
            return (await run_model_step(context(), TASK)).output
        finally:
            await client.close()

    return asyncio.run(call())


def called(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return delta(tool_calls=[{**more, "type": "function", "function": function}])


ZURICH = '{"city": "Zürich"}'
CALLED = delta(finish="tool_calls")

TOOL_CALLS: dict[str, list[Any]] = {
    "OpenAI: the name once, arguments in parts": [
        called("GET_WEATHER", "", index=0, id="c1"),
        called(None, '{"city": ', index=0),
        called(None, '"Zürich"}', index=0),
    ],
    "NIM: the name in each delta": [
        called("GET_WEATHER", '{"city": ', index=0, id="c1"),
        called("GET_WEATHER", '"Zürich"}', index=0, id="c1"),
    ],
    "a growing name": [called("GET_", "", index=0), called("GET_WEATHER", ZURICH, index=0)],
    "a name in parts": [called("GET_", "", index=0), called("WEATHER", ZURICH, index=0)],
    "another id in each delta": [
        called("GET_WEATHER", '{"city": ', index=0, id="c1"),
        called(None, '"Zürich"}', index=0, id="c2"),
    ],
    "Gemini: several calls with one index": [
        called("GET_WEATHER", ZURICH, index=0, id="c1"),
        called("GET_WEATHER", '{"city": "Bern"}', index=0, id="c2"),
    ],
    "several calls with one index and no id": [
        called("GET_WEATHER", ZURICH, index=0),
        called("GET_WEATHER", '{"city": "Bern"}', index=0),
    ],
    "several calls without an index": [called("GET_WEATHER", ZURICH), called("GET_WEATHER", '{"city": "Bern"}')],
    "an index that is null": [called("GET_WEATHER", '{"city": ', index=None), called(None, '"Zürich"}', index=None)],
    "Ollama: arguments as an object": [called("GET_WEATHER", {"city": "Zürich"}, index=0)],
    "arguments encoded twice": [called("GET_WEATHER", json.dumps(ZURICH), index=0)],
    "a prefix": [called("functions.GET_WEATHER", ZURICH, index=0)],
    "another case": [called("get_weather", ZURICH, index=0)],
    "other separators": [called("default_api:Get-Weather", ZURICH, index=0)],
    "the older function_call": [
        delta(function_call={"name": "GET_WEATHER", "arguments": '{"city":'}),
        delta(function_call={"arguments": '"Zürich"}'}),
    ],
    "a code fence": [delta(f"Here it is:\n```json\n{ZURICH}\n```\n")],
    "after thinking": [delta("<think>Which city? {maybe} Zürich.</think>"), delta(ZURICH)],
    "plain JSON": [delta(ZURICH)],
    "a code fence in the arguments": [called("GET_WEATHER", f"```json\n{ZURICH}\n```", index=0)],
    "tool_calls as one object": [
        delta(tool_calls={"index": 0, "function": {"name": "GET_WEATHER", "arguments": ZURICH}})
    ],
    "surrogate halves in two deltas": [
        called("GET_WEATHER", '{"city": "Zürich", "days": 1, "city": "Zürich', index=0),
        called(None, '"}', index=0),
    ],
}


@pytest.mark.parametrize("manner", TOOL_CALLS)
def test_a_tool_call(provider: Provider, manner: str) -> None:
    provider.say([*TOOL_CALLS[manner], CALLED])
    assert choose().arguments["city"] == "Zürich"
    assert len(provider.requests) == 1, "paid for once"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a":' * 500_000, None),
        (('{"a":' * 500 + "x ") * 1000, None),
        ("{" * MAX_CHARACTERS, None),
        ('{"a"}' * 500_000, None),
        ('{"a"} {x} ' * 10_000 + ZURICH, ZURICH),
        (f'{{"a": {"9" * 5000}}} {ZURICH}', ZURICH),
    ],
    ids=["deep", "wide", "braces", "near", "after many braces", "after a long number"],
)
def test_a_search_for_arguments_in_a_text_ends_soon(text: str, found: str | None) -> None:
    """It runs in the event loop of all steps: a text of a hostile server's must not stop that for minutes."""
    started = time.process_time()
    assert arguments_in(text) == found
    assert time.process_time() - started < 10


def test_arguments_that_do_not_fit_are_asked_for_once_more(provider: Provider) -> None:
    provider.say(
        [called("GET_WEATHER", '{"town": 1}', index=0), CALLED], [called("GET_WEATHER", ZURICH, index=0), CALLED]
    )
    assert choose().arguments == {"city": "Zürich"}


STREAMS: dict[str, list[Any]] = {
    "delta is null": [{"choices": [{"delta": None}]}, delta("Hello"), END],
    "delta is missing": [{"choices": [{"index": 0}]}, delta("Hello"), END],
    "choices is null": [{"choices": None}, delta("Hello"), END],
    "choices is empty": [{"choices": []}, delta("Hello"), END],
    "no model": [{"choices": [{"delta": {"content": "Hello"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}],
    "content is a list of parts": [delta([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]), END],
    "comments": [b": OPENROUTER PROCESSING\n\n", delta("Hello"), b": ping\n", END],
    "id, event and retry": [b"id: 1\nevent: message\nretry: 3000\n", delta("Hello"), END],
    "empty data": [b"data:\n\n", b"data: \n\n", delta("Hello"), END],
    "no blank after the colon": [b"data:" + json.dumps(delta("Hello")).encode() + b"\n\n", END],
    "CR LF": [b"data: " + json.dumps(delta("Hello")).encode() + b"\r\n\r\n", END],
    "data in two lines": [b'data: {"choices": [{"delta":\ndata: {"content": "Hello"}}]}\n\n', END],
    "[DONE] with blanks": [delta("Hello"), END, b"data:  [DONE] \n\n", b"data: this is not read\n\n"],
    "a byte order mark": [b"\xef\xbb\xbf", delta("Hello"), END],
    "a line separator in JSON": [b'data: {"choices": [{"delta": {"content": "Hel\\u2028lo"}}]}\n\n', END],
    "surrogate halves in two chunks": [
        b'data: {"choices": [{"delta": {"content": "Hello \\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ude00"}}]}\n\n',
        END,
    ],
    "a refusal": [delta(None, refusal="Hello"), END],
    "whole messages in the place of deltas": [
        {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    ],
    "keys nobody knows": [{**delta("Hello"), "x_groq": {"id": 1}, "citations": []}, END],
}


@pytest.mark.parametrize("manner", STREAMS)
def test_a_stream(provider: Provider, manner: str) -> None:
    provider.say(STREAMS[manner])
    expected = {"a line separator in JSON": "Hel\u2028lo", "surrogate halves in two chunks": "Hello 😀"}
    assert ask().text == expected.get(manner, "Hello")


def test_a_raw_line_separator_does_not_end_a_line(provider: Provider) -> None:
    provider.say([b"data: " + json.dumps(delta("Hel\u2028lo"), ensure_ascii=False).encode() + b"\n\n", END])
    assert ask().text == "Hel\u2028lo"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_an_answer_that_is_not_streamed(provider: Provider, kind: str) -> None:
    body = {
        "model": "m-1",
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    provider.say(body, kind=kind)
    answer = ask()
    assert (answer.text, answer.model, answer.finish_reason, answer.usage) == ("Hello", "m-1", "stop", TokenUsage(3, 1))


THINKING: dict[str, list[Any]] = {
    "DeepSeek: reasoning_content": [
        delta(None, reasoning_content="Hm, "),
        delta(None, reasoning_content="yes."),
        delta("Rain."),
    ],
    "OpenRouter: reasoning": [delta(None, reasoning="Hm, yes."), delta("Rain.")],
    "tags": [delta("<think>Hm, "), delta("yes.</think>\n\nRain.")],
    "without the opening tag": [delta("Hm, yes.\n</think>\nRain.")],
    "Mistral: parts": [
        delta([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm, yes."}]}]),
        delta("Rain."),
    ],
}


@pytest.mark.parametrize("manner", THINKING)
def test_thinking_is_kept_apart(provider: Provider, manner: str) -> None:
    provider.say([*THINKING[manner], END])
    output = run_step()
    assert (output["text"], output["thinking"]) == ("Rain.", "Hm, yes.")


def test_nothing_but_thinking_is_no_answer(provider: Provider) -> None:
    provider.say([delta("<think>Hm"), END])
    with pytest.raises(StepError, match="wrote nothing"):
        run_step()


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource", "ERROR", "cancelled"])
def test_a_reason_that_means_no_answer(provider: Provider, reason: str) -> None:
    provider.say([delta("Half an ans"), delta(finish=reason)])
    error = fails()
    assert (error.code, error.retryable) == ("model_failed", True)


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "model_length", "content_filter", "SAFETY", "RECITATION", "odd"]
)
def test_a_reason_that_means_an_answer_with_a_warning(provider: Provider, reason: str) -> None:
    provider.say([delta("Rain."), delta(finish=reason)])
    output = run_step()
    assert output["text"] == "Rain."
    assert len(output["warnings"]) == 1


@pytest.mark.parametrize("reason", ["stop", "STOP", "eos_token", "end_turn", "tool_calls"])
def test_a_reason_that_means_an_answer(provider: Provider, reason: str) -> None:
    provider.say([delta("Rain."), delta(finish=reason)])
    assert "warnings" not in run_step()


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY"])
def test_a_filter_that_left_nothing_is_final(provider: Provider, reason: str) -> None:
    provider.say([delta(finish=reason)])
    with pytest.raises(StepError) as caught:
        run_step()
    assert (caught.value.code, caught.value.retryable) == ("content_filter", False)


REFUSED = {
    "tool_choice": (400, {"error": {"message": 'tool_choice "required" is not supported', "param": "tool_choice"}}),
    "tool_choice, Mistral": (422, {"detail": [{"loc": ["body", "tool_choice"], "msg": "Input should be 'auto'"}]}),
    "tools, Ollama": (400, {"error": {"message": "registry.ollama.ai/library/m does not support tools"}}),
    "tools, TGI": (422, {"error": "Tool error: function calling is not enabled", "error_type": "tool_error"}),
    "tools, vLLM": (400, {"object": "error", "message": '"auto" tool choice requires --enable-auto-tool-choice'}),
}


@pytest.mark.parametrize("manner", REFUSED)
def test_a_refused_parameter_of_a_call_is_left_out_from_then_on(provider: Provider, manner: str) -> None:
    status, body = REFUSED[manner]
    provider.say(body, status=status)
    provider.say([delta(ZURICH), END], [delta(ZURICH), END])
    assert choose().arguments == {"city": "Zürich"}
    assert choose().arguments == {"city": "Zürich"}
    first, second, third = provider.bodies
    assert first["tool_choice"] == "required"
    assert "tool_choice" not in second
    assert second.keys() == third.keys(), "remembered"


def test_a_model_that_takes_neither_tools_nor_a_response_format(provider: Provider) -> None:
    provider.say({"error": {"message": "tools are not supported"}}, status=400)
    provider.say({"error": {"message": "response_format is unavailable"}}, status=400)
    provider.say([delta(f"```json\n{ZURICH}\n```"), END])
    assert choose().arguments == {"city": "Zürich"}
    last = provider.bodies[-1]
    assert not {"tools", "tool_choice", "response_format"} & last.keys()
    assert '"city"' in last["messages"][-1]["content"], "the schema is in the question"


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("Unrecognized request argument supplied: stream_options", {"stream_options"}),
        ("Extra inputs are not permitted: stream_options", {"stream_options"}),
        ("streaming is not supported for this model", {"stream", "stream_options"}),
    ],
)
def test_a_refused_parameter_of_the_stream(provider: Provider, message: str, gone: set[str]) -> None:
    provider.say({"error": {"message": message}}, status=400)
    provider.say({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]})
    assert ask().text == "Hello"
    first, second = provider.bodies
    assert first.keys() - second.keys() == gone


def test_what_no_parameter_is_to_blame_for_is_not_asked_again(provider: Provider) -> None:
    provider.say({"error": {"message": "temperature must be below 2"}}, status=400)
    assert fails().code == "model_rejected"
    assert len(provider.requests) == 1


BUSY: dict[str, tuple[int, Any]] = {
    "429": (429, {"error": {"message": "slow down"}}),
    "503": (503, {"error": {"message": "no capacity"}}),
    "529": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "overloaded with 500": (500, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "status 200, code 429": (200, {"error": {"code": 429, "message": "Provider returned error"}}),
    "status 200, by its type": (200, {"error": {"type": "rate_limit_error", "message": "later"}}),
    "status 200, by its words": (200, {"error": "Rate limit reached for model m"}),
    "Gemini": (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota"}}]),
}


@pytest.mark.parametrize("manner", BUSY)
def test_a_busy_provider_is_waited_for(provider: Provider, manner: str) -> None:
    status, body = BUSY[manner]
    provider.say(json.dumps(body).encode(), status=status)
    assert isinstance(fails(), TryLater)


def test_an_error_within_a_stream(provider: Provider) -> None:
    provider.say([delta("Half"), {"error": {"code": 502, "message": "upstream is gone"}}])
    error = fails()
    assert "upstream is gone" in str(error)
    assert (error.code, error.retryable) == ("model_failed", True)


def test_an_error_with_status_200_says_the_providers_words(provider: Provider) -> None:
    provider.say({"error": {"message": "No such deployment", "code": "404"}})
    error = fails()
    assert isinstance(error, PermanentError)
    assert "No such deployment" in str(error)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_retry_after_beside_any_status(provider: Provider, status: int) -> None:
    provider.say({"error": {"message": "x"}}, status=status, headers={"retry-after": "7"})
    error = fails()
    assert isinstance(error, TryLater)
    assert error.delay == 7


TOO_LONG = {
    "OpenAI": ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.", 8192),
    "TGI": ("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", 4096),
    "Gemini": ("The input token count (9000) exceeds the maximum number of tokens allowed (1000).", None),
    "Mistral": ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32768),
    "Anthropic": ("prompt is too long: 210000 tokens > 200000 maximum", None),
    "Fireworks": ("The prompt is too long: 5000, model maximum context length: 4095", 4095),
    "Groq": ("Please reduce the length of the messages or completion.", None),
    "Cohere": ("too many tokens: size limit exceeded by 10 tokens", None),
}


@pytest.mark.parametrize("manner", TOO_LONG)
def test_a_context_overflow_in_other_words(provider: Provider, manner: str) -> None:
    words, limit = TOO_LONG[manner]
    provider.say({"error": {"message": words}}, status=400)
    error = fails()
    assert isinstance(error, ContextTooLong)
    if limit is not None:
        assert error.limit == limit


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1.5, "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 2},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": "many", "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": [1], "completion_tokens": {}},
    ],
)
def test_numbers_of_tokens_that_are_none(provider: Provider, usage: dict[str, Any]) -> None:
    provider.say([delta("Hello"), {**END, "usage": usage}])
    assert ask().usage is None


def test_a_model_with_a_long_name(provider: Provider) -> None:
    provider.say([{**delta("Hello", "stop"), "model": "m" * 500}])
    assert len(ask().model) == 200


def test_an_answer_without_an_end(provider: Provider) -> None:
    provider.say([delta("x" * 1_000_000)] * 5)
    assert MAX_CHARACTERS < 5_000_000
    assert fails().code == "answer_too_large"


def test_an_answer_that_is_no_chat_completion(provider: Provider) -> None:
    provider.say(["no", "JSON", b"data: {\n\n"])
    assert fails().code == "bad_answer"
