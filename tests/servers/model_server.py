"""A server with the APIs Chat Completions and Embeddings of OpenAI, which misbehaves on demand.

In a test: `with ModelServer() as server:`, then `server.script.append(Reply(...))` for each expected call;
without a script it answers sensibly. By hand: `python -m tests.servers.model_server --port 9100`, where the
model's name chooses the behavior: `stall`, `busy`, `down`, `cut`, `endless`, `slow-<chunks a second>`;
`embed-<number>` makes vectors of that length.
"""

import argparse
import base64
import hashlib
import json
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.local import Handler, LocalServer

DIMENSIONS = 64
MEANINGS = {"automobile": "car", "cars": "car", "vehicle": "car"}
"""Words that get the same vector, as synonyms."""


@dataclass
class Reply:
    """How one call is answered. `stall_after` and `cut_after` count the chunks that are sent before."""

    text: str = "The model answers in a few words."
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    arguments: str | None = None
    finish_reason: str | None = "stop"
    has_usage: bool = True
    per_second: float = 0
    stall_after: int | None = None
    cut_after: int | None = None
    model: str = ""


class ModelServer(LocalServer):
    """When a client closes its connection early, `cut` is set and `cut_at` is the monotonic time."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(ModelHandler, port)
        self.script: list[Reply] = []
        self.cut = threading.Event()
        self.cut_at = 0.0

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def note_cut(self) -> None:
        self.cut_at = time.monotonic()
        self.cut.set()


class ModelHandler(Handler):
    server: ModelServer

    def do_GET(self) -> None:
        self.read_request()
        self.answer(200, {"object": "list", "data": [{"id": "test-model", "object": "model"}]})

    def do_POST(self) -> None:
        request = self.read_request()
        body = request["body"] if isinstance(request["body"], dict) else {}
        if self.path.endswith("/embeddings"):
            self._embed(body)
        elif self.path.endswith("/chat/completions"):
            self._complete(body)
        else:
            self.answer(404, {"error": {"message": f"no such path: {self.path}", "code": "not_found"}})

    def _embed(self, body: dict[str, Any]) -> None:
        reply = self.server.script.pop(0) if self.server.script else _usual(body)
        if reply.status != 200:
            self.answer(reply.status, {"error": reply.error or {"message": "scripted"}}, reply.headers)
            return
        self.answer(200, _embeddings(body))

    def _complete(self, body: dict[str, Any]) -> None:
        reply = self.server.script.pop(0) if self.server.script else _usual(body)
        if reply.status != 200:
            self.answer(reply.status, {"error": reply.error or {"message": "scripted"}}, reply.headers)
            return
        try:
            self._stream(reply, body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.note_cut()
            self.close_connection = True

    def _stream(self, reply: Reply, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, event in enumerate(_events(reply, body)):
            if number == reply.stall_after:
                self._stall()
                return
            if number == reply.cut_after:
                self.close_connection = True
                return
            self._send(f"data: {json.dumps(event)}\n\n")
            if reply.per_second and self.is_cut(1 / reply.per_second):
                raise BrokenPipeError
        self._send("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, text: str) -> None:
        raw = text.encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.flush()

    def _stall(self) -> None:
        if self.is_cut(600):
            self.server.note_cut()
        self.close_connection = True


def _usual(body: dict[str, Any]) -> Reply:
    """The answer to a call without a script, by the name of its model and whether it offers a function."""
    name, _, number = str(body.get("model", "")).partition("-")
    busy = {"retry-after": "2"}
    text = "A sentence of the answer, as long as any other. " * 40
    named = {
        "stall": Reply(text, stall_after=3),
        "busy": Reply(status=429, headers=busy, error={"message": "slow down"}),
        "down": Reply(status=503, headers=busy, error={"message": "overloaded"}),
        "cut": Reply(text, cut_after=5),
        "endless": Reply(text, finish_reason=None),
        "slow": Reply(text, per_second=float(number) if number.replace(".", "").isdigit() else 5),
    }
    if name in named:
        return named[name]
    if body.get("tools"):
        return Reply(arguments=json.dumps(_filled(body["tools"][0]["function"]["parameters"])))
    return Reply(_echo(body))


def _echo(body: dict[str, Any]) -> str:
    last = str((body.get("messages") or [{}])[-1].get("content", ""))
    return f"The test model read {len(last.split())} words. It ends on: {last.strip()[-200:]}"


def _filled(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments for the required properties, each with a value of its type."""
    by_type: dict[str, Any] = {"string": "test", "integer": 1, "number": 1, "boolean": True, "array": []}
    properties = schema.get("properties", {})
    return {name: by_type.get(properties[name].get("type"), {}) for name in schema.get("required", [])}


def _events(reply: Reply, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    model = reply.model or body.get("model")
    base = {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
    }
    finish = "tool_calls" if reply.finish_reason and reply.arguments is not None else reply.finish_reason
    for delta in _deltas(reply, body):
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    if finish is not None:
        yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    if reply.has_usage and (body.get("stream_options") or {}).get("include_usage"):
        yield {**base, "choices": [], "usage": _usage(reply, body)}


def _deltas(reply: Reply, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    if reply.arguments is None:
        words = reply.text.split(" ")
        yield from ({"content": word + (" " if place < len(words) - 1 else "")} for place, word in enumerate(words))
        return
    name = body["tools"][0]["function"]["name"]
    yield {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name}}]}
    for start in range(0, len(reply.arguments), 10):
        piece = reply.arguments[start : start + 10]
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _usage(reply: Reply, body: dict[str, Any]) -> dict[str, int]:
    read = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", []))
    written = len((reply.arguments or reply.text).split())
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    name, _, number = str(body.get("model", "")).partition("-")
    dimensions = int(number) if name == "embed" and number.isdigit() else DIMENSIONS
    as_base64 = body.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(texts):
        vector = _vector(str(text), dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed if as_base64 else vector})
    count = sum(len(str(text).split()) for text in texts)
    return {
        "object": "list",
        "model": body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def _vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 from hashed words: texts that share words are near each other."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        meaning = MEANINGS.get(word, word)
        vector[int.from_bytes(hashlib.sha256(meaning.encode()).digest()[:2], "big") % dimensions] += 1.0
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    port = parser.parse_args().port
    with ModelServer(port) as server:
        print(f"OPENAI_BASE_URL={server.base_url} DEFAULT_MODEL=test-model", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
