"""A model server in a process of its own. All its answers are streams of the same length."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.servers.model_server import ModelHandler, ModelServer, Reply

PATIENCE = 60.0


class StreamServer(ModelServer):
    """Starts to answer only when all streams are requested."""

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.RequestHandlerClass = StreamHandler
        self.all_there = threading.Barrier(streams)


class StreamHandler(ModelHandler):
    server: StreamServer

    def _stream(self, reply: Reply, body: dict[str, Any]) -> None:
        with suppress(threading.BrokenBarrierError):
            self.server.all_there.wait(PATIENCE)
        super()._stream(reply, body)


@contextmanager
def streaming(*, streams: int, per_second: float, seconds: float) -> Iterator[str]:
    """Yields the base URL. That many answers are streams of one-word chunks, all at the same time."""
    context = multiprocessing.get_context("spawn")
    address: Any = context.Queue()
    words = int(per_second * seconds)
    process = context.Process(target=_serve, args=(address, streams, per_second, words), daemon=True)
    process.start()
    try:
        yield address.get(timeout=30)
    finally:
        process.kill()
        process.join()


def _serve(address: Any, streams: int, per_second: float, words: int) -> None:
    with StreamServer(streams) as server:
        server.script += [Reply(" ".join(["word"] * words), per_second=per_second) for _ in range(streams)]
        address.put(server.base_url)
        threading.Event().wait()
