"""A model's server in a process of its own, whose every answer is a stream of the same length."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.model_server import ModelServer, Reply


@contextmanager
def streaming(*, streams: int, per_second: float, seconds: float) -> Iterator[str]:
    """Its base URL. So many answers are a stream of one-word chunks."""
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
    with ModelServer() as server:
        server.script += [Reply(" ".join(["word"] * words), per_second=per_second) for _ in range(streams)]
        address.put(server.base_url)
        threading.Event().wait()
