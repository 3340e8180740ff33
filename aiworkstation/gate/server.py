"""The web server: uvicorn, with deadlines for headers and for answers. `python -m aiworkstation.gate.server --help`.

uvicorn has no deadline of its own for a client that sends its headers, or reads its answer, byte by byte.
"""

import argparse
import asyncio
import sys
from typing import Any

import uvicorn
from uvicorn.importer import import_from_string
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 64 * 1024
READER_SECONDS = 30.0
"""How long the client may take to read what waits for it (at most 64 kB, uvicorn's high-water mark, and a block)."""
KEEP_ALIVE_SECONDS = 20
STOP_SECONDS = 10
MAX_CONNECTIONS = 2000
SWITCH_SECONDS = 0.001
"""How long a thread may compute while others wait. With Python's 5 ms, one large body slows every other request."""


class DeadlineProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._header_bytes: int | None = None
        """Bytes of the headers so far. None: no headers are being read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # One timer from the first byte to the last. A timer for each read would let a byte now and then hold a
        # connection.
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._header_bytes is None:
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._header_timer is None:  # another request on a connection that is kept alive
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._header_bytes = None
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(READER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reader_timer:
            self._reader_timer.cancel()
            self._reader_timer = None
        super().resume_writing()

    def _cancel_timers(self) -> None:
        for timer in (self._header_timer, self._reader_timer):
            if timer:
                timer.cancel()


def configuration(application: Any, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        http=DeadlineProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # Django decides which proxies to trust
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("application", help="a FrontGate: package.module:name")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    application = import_from_string(options.application)
    application.at_start()
    uvicorn.Server(configuration(application, options.host, options.port)).run()


if __name__ == "__main__":
    main()
