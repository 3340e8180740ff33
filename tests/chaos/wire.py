"""A proxy to PostgreSQL that breaks: a Unix socket whose connections can be cut, lose answers, and fall silent."""

import asyncio
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PORT = 5432
_COMMITTED = (b"COMMIT\0", b'"claims" : [[')
"""Bytes in the server's answer to a commit: the tag of the CommandComplete message ("Message Formats" in PostgreSQL's
protocol), or, since a turn is a statement that commits by itself, the claims in its answer.
"""


@dataclass(eq=False)
class _Link:
    """Both ends of one connection."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


class Wire:
    """Forwards connections from a socket in `directory` to the one in `server`. Any thread may call its methods."""

    def __init__(self, directory: Path, server: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._server = str(server / f".s.PGSQL.{PORT}")
        self._loop = asyncio.new_event_loop()
        self._links: set[_Link] = set()
        self._losses = 0
        self._open = asyncio.Event()
        self._open.set()
        threading.Thread(target=self._run, name=f"wire {directory.name}", daemon=True).start()

    def cut(self, share: float = 1.0) -> None:
        """Ends each connection with this probability."""
        self._loop.call_soon_threadsafe(self._cut, share)

    def lose_answers(self, number: int) -> None:
        """The next commits succeed, but their connections are cut before the answer arrives."""
        self._loop.call_soon_threadsafe(setattr, self, "_losses", number)

    def fall_silent(self) -> None:
        """From now on nothing arrives, without any error."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def speak(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        socket = str(self.directory / f".s.PGSQL.{PORT}")
        self._loop.run_until_complete(asyncio.start_unix_server(self._serve, socket, backlog=256))
        self._loop.run_forever()

    def _cut(self, share: float) -> None:
        for link in [link for link in self._links if random.random() < share]:
            link.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer])
        self._links.add(link)
        try:
            await self._open.wait()
            server_reader, server_writer = await asyncio.open_unix_connection(self._server)
            link.writers.append(server_writer)
            both = [self._pump(reader, server_writer, link), self._pump(server_reader, writer, link, answers=True)]
            await asyncio.gather(*both)
        except OSError:
            pass
        finally:
            link.close()
            self._links.discard(link)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, *, answers: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                if answers and self._losses and any(mark in data for mark in _COMMITTED):
                    self._losses -= 1
                    break
                writer.write(data)
                await writer.drain()
        link.close()
