import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from tests.servers.model_server import ModelServer, Reply
from tests.workflows.conftest import Configure
from workflows.errors import PermanentError, StepError, TryLater
from workflows.llm import client, model_catalog
from workflows.llm.chat import Function, ModelAnswer, ModelRequest, TokenUsage
from workflows.llm.provider_errors import ContextTooLong

HELLO = [{"role": "user", "content": "Say hello to the world"}]


def ask(model: str = "test-model", pieces: list[str] | None = None, function: Function | None = None) -> ModelAnswer:
    async def call() -> ModelAnswer:
        try:
            on_text = (pieces if pieces is not None else []).append
            return await client.complete(ModelRequest(model, HELLO, function), on_text)
        finally:
            await client.close()

    return asyncio.run(call())


def failure(server: ModelServer, reply: Reply) -> StepError:
    server.script.append(reply)
    with pytest.raises(StepError) as caught:
        ask()
    return caught.value


class TestAnswer:
    def test_it_works(self, model_server: ModelServer) -> None:
        model_server.script.append(Reply("Hello, world.", model="test-model-2026"))
        pieces: list[str] = []
        answer = ask(pieces=pieces)
        assert (answer.text, answer.finish_reason) == ("Hello, world.", "stop")
        assert answer.model == "test-model-2026"
        assert answer.usage == TokenUsage(5, 2, None)
        assert pieces == ["Hello, ", "world."]

    def test_request_is_streamed_with_usage(self, model_server: ModelServer) -> None:
        ask()
        (request,) = model_server.requests
        assert request["path"] == "/v1/chat/completions"
        assert request["body"]["model"] == "test-model"
        assert request["body"]["messages"] == HELLO
        assert request["body"]["stream"] is True
        assert request["body"]["stream_options"] == {"include_usage": True}
        assert "tools" not in request["body"]

    def test_without_usage(self, model_server: ModelServer) -> None:
        model_server.script.append(Reply(has_usage=False))
        assert ask().usage is None

    def test_key_is_sent(self, model_server: ModelServer, configure: Configure) -> None:
        configure(openai_base_url=model_server.base_url, openai_api_key="sk-1")
        ask()
        assert model_server.requests[0]["headers"]["authorization"] == "Bearer sk-1"

    def test_function_call(self, model_server: ModelServer) -> None:
        model_server.script.append(Reply(arguments='{"city": "Zürich", "days": 3}'))
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        answer = ask(function=Function("WEATHER", "Tells the weather.", schema))
        assert [(call.name, call.arguments) for call in answer.tool_calls] == [
            ("WEATHER", '{"city": "Zürich", "days": 3}')
        ]
        assert answer.finish_reason == "tool_calls"
        body = model_server.requests[0]["body"]
        assert body["tool_choice"] == "required"
        assert body["tools"][0]["function"]["parameters"] == schema

    def test_connection_is_shared(self, model_server: ModelServer) -> None:
        async def twice() -> list[ModelAnswer]:
            request = ModelRequest("test-model", HELLO)
            answers = [await client.complete(request, print) for _ in range(2)]
            assert len(client._clients[asyncio.get_running_loop()]) == 1
            await client.close()
            return answers

        assert [answer.finish_reason for answer in asyncio.run(twice())] == ["stop", "stop"]


class TestCost:
    def test_known_model_of_openai(self, configure: Configure) -> None:
        configure(openai_api_key="sk-1")
        assert model_catalog.cost(TokenUsage(1000, 100), 0, "gpt-4o-2024-08-06") == Decimal("0.0035")

    def test_cached_tokens_are_cheaper(self, configure: Configure) -> None:
        configure(openai_api_key="sk-1")
        assert model_catalog.cost(TokenUsage(1000, 100), 1000, "gpt-4o") == Decimal("0.00225")

    def test_unknown_model_has_none(self, configure: Configure) -> None:
        configure(openai_api_key="sk-1")
        assert model_catalog.cost(TokenUsage(1000, 100), 0, "my-own-model") is None

    def test_another_server_has_none(self, configure: Configure) -> None:
        configure(openai_base_url="http://127.0.0.1:11434/v1")
        assert model_catalog.cost(TokenUsage(1000, 100), 0, "gpt-4o") is None

    def test_sum(self) -> None:
        assert TokenUsage(1, 2, Decimal("0.1")) + TokenUsage(3, 4, Decimal("0.2")) == TokenUsage(4, 6, Decimal("0.3"))
        assert TokenUsage(1, 2, Decimal("0.1")) + TokenUsage(3, 4, None) == TokenUsage(4, 6, None)


class TestWaits:
    def test_429_with_seconds(self, model_server: ModelServer) -> None:
        error = failure(model_server, Reply(status=429, headers={"retry-after": "7"}))
        assert isinstance(error, TryLater)
        assert error.delay == 7
        assert error.cooldown == f"model:{model_server.base_url}:test-model"

    def test_429_with_date(self, model_server: ModelServer) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        error = failure(model_server, Reply(status=429, headers={"retry-after": date}))
        assert isinstance(error, TryLater)
        assert error.delay is not None
        assert 55 < error.delay <= 60

    @pytest.mark.parametrize("value", ["soon", "-3", "nan", "inf", ""])
    def test_retry_after_that_says_nothing(self, model_server: ModelServer, value: str) -> None:
        error = failure(model_server, Reply(status=429, headers={"retry-after": value}))
        assert isinstance(error, TryLater)
        assert error.delay is None

    def test_503(self, model_server: ModelServer) -> None:
        assert isinstance(failure(model_server, Reply(status=503)), TryLater)

    def test_refused_connection(self, configure: Configure) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        configure(openai_base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(TryLater, match="is the server running"):
            ask()

    def test_one_request_for_one_attempt(self, model_server: ModelServer) -> None:
        failure(model_server, Reply(status=503))
        assert len(model_server.requests) == 1


class TestRetries:
    def test_500(self, model_server: ModelServer) -> None:
        error = failure(model_server, Reply(status=500, error={"message": "oh dear"}))
        assert (error.code, error.retryable) == ("model_failed", True)
        assert "oh dear" in error.message
        assert not isinstance(error, TryLater)

    def test_cut_connection(self, model_server: ModelServer) -> None:
        error = failure(model_server, Reply(cut_after=3))
        assert (error.code, error.retryable) == ("connection_cut", True)

    def test_no_finish_reason(self, model_server: ModelServer) -> None:
        error = failure(model_server, Reply(finish_reason=None))
        assert (error.code, error.retryable) == ("stream_incomplete", True)

    def test_cut_after_the_answer_is_whole(self, model_server: ModelServer) -> None:
        model_server.script.append(Reply("Yes.", cut_after=3))
        answer = ask()
        assert (answer.text, answer.finish_reason, answer.usage) == ("Yes.", "stop", None)

    def test_silence(self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
        error = failure(model_server, Reply(stall_after=2))
        assert (error.code, error.retryable) == ("model_silent", True)
        assert model_server.cut.wait(30)

    def test_slow_is_not_silent(self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "SILENCE_SECONDS", 0.4)
        model_server.script.append(Reply("a b c d e f", per_second=10))
        began = time.monotonic()
        assert ask().text == "a b c d e f"
        assert time.monotonic() - began > 0.5


class TestPermanent:
    def test_401(self, model_server: ModelServer, configure: Configure) -> None:
        configure(openai_base_url=model_server.base_url, openai_api_key="sk-secret-1")
        reply = Reply(status=401, error={"message": "Incorrect API key: sk-secret-1", "code": "invalid_api_key"})
        error = failure(model_server, reply)
        assert isinstance(error, PermanentError)
        assert "OPENAI_API_KEY" in error.message
        assert "sk-secret-1" not in error.message

    @pytest.mark.parametrize(
        ("status", "code", "remedy"),
        [
            (403, "forbidden", "may not use"),
            (404, "model_not_found", "DEFAULT_MODEL"),
            (400, "model_rejected", "bad"),
        ],
    )
    def test_4xx(self, model_server: ModelServer, status: int, code: str, remedy: str) -> None:
        error = failure(model_server, Reply(status=status, error={"message": "bad thing"}))
        assert (error.code, error.retryable) == (code, False)
        assert remedy in error.message

    def test_used_up_quota_is_no_wait(self, model_server: ModelServer) -> None:
        error = failure(model_server, Reply(status=429, error={"message": "pay", "code": "insufficient_quota"}))
        assert (error.code, error.retryable) == ("insufficient_quota", False)

    @pytest.mark.parametrize(
        ("body", "limit"),
        [
            (
                {
                    "message": "This model's maximum context length is 8192 tokens. You sent 9000.",
                    "code": "context_length_exceeded",
                },
                8192,
            ),
            (
                {
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                    "n_ctx": 512,
                },
                512,
            ),
            ({"message": "prompt is too long"}, None),
        ],
    )
    def test_context_too_long(self, model_server: ModelServer, body: dict[str, object], limit: int | None) -> None:
        error = failure(model_server, Reply(status=400, error=body))
        assert isinstance(error, ContextTooLong)
        assert (error.code, error.retryable, error.limit) == ("context_length_exceeded", False, limit)
        assert "context_length_exceeded" in error.message


class TestCancel:
    @pytest.mark.parametrize("chunks", [0, 3])
    def test_stalled_call_is_cut_at_once(self, model_server: ModelServer, chunks: int) -> None:
        model_server.script.append(Reply(stall_after=chunks))

        async def cancel() -> float:
            call = asyncio.create_task(client.complete(ModelRequest("test-model", HELLO), lambda text: None))
            while not model_server.requests:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(model_server.cut.wait, 30)
            return began

        began = asyncio.run(cancel())
        assert model_server.cut.is_set()
        assert model_server.cut_at - began < 20


class TestResolve:
    @pytest.mark.parametrize(
        ("model_id", "mode", "default", "expected"),
        [
            ("gpt-4o", "m", "d", "gpt-4o"),
            (None, "m", "d", "m"),
            ("", None, "d", "d"),
            (None, None, "", "offline"),
            ("offline", "m", "d", "offline"),
            ("old", None, "", "new"),
            (None, "old", "", "new"),
        ],
    )
    def test_order(
        self, configure: Configure, model_id: str | None, mode: str | None, default: str, expected: str
    ) -> None:
        aliases = {"old": "new", "offline": "never"}
        configure(openai_base_url="http://127.0.0.1:1/v1", default_model=default, model_aliases=aliases)
        assert model_catalog.resolve_model(model_id, mode) == expected

    def test_without_a_provider(self, configure: Configure) -> None:
        configure(default_model="d")
        assert model_catalog.resolve_model("gpt-4o", "m") == "offline"

    def test_with_a_key_alone(self, configure: Configure) -> None:
        configure(openai_api_key="sk-1")
        assert model_catalog.resolve_model("gpt-4o", None) == "gpt-4o"


class TestContext:
    def test_known_and_unknown(self, configure: Configure) -> None:
        configure(openai_api_key="sk-1")
        assert model_catalog.context_tokens("gpt-4") == 8192
        assert model_catalog.context_tokens("gpt-4o") == model_catalog.CONTEXT_TOKENS
        assert model_catalog.context_tokens("my-own-model") == model_catalog.CONTEXT_TOKENS


class TestEmbed:
    def test_it_works(self, model_server: ModelServer) -> None:
        first, second = client.embed(["red car", "blue car"], "embed-32")
        assert len(first) == len(second) == 32
        assert first != second
        (request,) = model_server.requests
        assert request["body"] == {"model": "embed-32", "input": ["red car", "blue car"], "encoding_format": "float"}

    @pytest.mark.parametrize(
        ("reply", "code", "retryable"),
        [
            (Reply(status=429), "model_busy", True),
            (Reply(status=503), "model_busy", True),
            (Reply(status=500), "model_failed", True),
            (Reply(status=401), "unauthorized", False),
            (Reply(status=404), "model_not_found", False),
            (Reply(status=400), "model_rejected", False),
            (Reply(status=400, error={"message": "too many tokens"}), "context_length_exceeded", False),
        ],
    )
    def test_refusals(self, model_server: ModelServer, reply: Reply, code: str, retryable: bool) -> None:
        model_server.script.append(reply)
        with pytest.raises(StepError) as error:
            client.embed(["text"], "test-model")
        assert (error.value.code, error.value.retryable) == (code, retryable)

    def test_a_busy_provider_says_when(self, model_server: ModelServer) -> None:
        model_server.script.append(Reply(status=429, headers={"retry-after": "9"}))
        with pytest.raises(TryLater) as error:
            client.embed(["text"], "test-model")
        assert error.value.delay == 9

    def test_nobody_there(self, configure: Configure) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        configure(openai_base_url=address)
        with pytest.raises(TryLater):
            client.embed(["text"], "test-model")

    def test_not_one_vector_for_each_text(self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.servers.model_server._embeddings", lambda body: {"object": "list", "data": []})
        with pytest.raises(StepError) as error:
            client.embed(["text"], "test-model")
        assert error.value.code == "bad_answer"
