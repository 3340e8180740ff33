"""The ASGI application of the gate.

0. Answer the preflights of browsers (CORS) without a thread.
1. Find the route. Refuse a body that is too large, or a form with files where none is accepted.
2. For an upload, ask the application whether the caller may upload, and how much, before a byte is read.
3. Read the body, under a size and a deadline.
4. Wait for a place: one client never has all threads, and expensive requests together never have all.
5. Run Django in a thread, until the answer is complete.
6. Send the answer without a thread, as fast as the client reads.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO
from typing import IO, Any

from aiworkstation.gate import cross_origin, refusals, request_body, routes, wsgi
from aiworkstation.gate.refusals import Busy, Disconnected, Receive, Refusal, Scope, Send
from aiworkstation.gate.request_body import Body
from aiworkstation.gate.routes import Route

ASKS_ALLOWANCE = "gate.asks_allowance"
"""The key of the environ that marks the gate's own question, a GET of the same address. No client can set it."""
ALLOWANCE_HEADER = b"x-upload-allowance"
"""The application's answer to it: how many bytes the body may have. An answer without it goes to the client."""
PLACE_SECONDS = 10
"""How long a request waits for a place, before it is answered with a 429."""


class Places:
    """Limits how many requests with the same key are answered at once."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Raises Busy if no place becomes free in time."""
        if self._taken[key] >= self._number:
            await self._wait(key)
        # Nothing is awaited since the check, so no other request can have taken the place.
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                # Keys are clients: without this, the counter would grow with every new one.
                del self._taken[key]
            async with self._freed:
                self._freed.notify_all()

    async def _wait(self, key: str) -> None:
        try:
            async with asyncio.timeout(PLACE_SECONDS), self._freed:
                await self._freed.wait_for(lambda: self._taken[key] < self._number)
        except TimeoutError:
            raise Busy(PLACE_SECONDS) from None


class FrontGate:
    """`application` is a WSGI application, which runs in `threads` threads. The last of `table` matches every path.

    Pages of `origins` may call the API. The application adds their headers to its own answers. The web server calls
    `at_start` before it listens.
    """

    def __init__(
        self,
        application: wsgi.Application,
        table: Sequence[Route],
        threads: int,
        origins: Collection[str] = (),
        *,
        at_start: Callable[[], object] = lambda: None,
    ) -> None:
        self.at_start = at_start
        self._application = application
        self._routes = table
        self._origins = origins
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="web")
        # One less than there are, so that one client never takes all.
        self._client_places = Places(max(1, threads - 1))
        self._expensive_places = Places(max(1, threads // 2))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = only_header(scope, b"origin")
        asked = only_header(scope, b"access-control-request-method")
        if origin is not None and cross_origin.is_preflight(scope["path"], scope["method"], origin, asked):
            await send_preflight(cross_origin.answer_preflight(self._origins, origin), send)
            return
        route = routes.find(self._routes, scope["path"])
        try:
            await self._handle(route, scope, receive, send)
        except Disconnected:
            return
        except Refusal as refusal:
            shared = encoded(cross_origin.shared_with(self._origins, scope["path"], origin))
            await refusals.refuse(refusal, scope, receive, send, extras=route.error_extras, more_headers=shared)

    async def _handle(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        if not request_body.has_body(scope):
            await self._send(await self._answer(route, scope, Body(BytesIO())), send)
            return
        limit = route.max_body
        if is_form_with_files(scope):
            if not route.takes_files:
                raise refusals.NoFilesHere()
            answer = await self._answer(route, scope, Body(BytesIO()), {"REQUEST_METHOD": "GET", ASKS_ALLOWANCE: True})
            allowance = next((int(value) for name, value in answer.headers if name == ALLOWANCE_HEADER), None)
            if allowance is None:  # the application refuses the caller, with the right answer for this address
                answer.headers.append((b"connection", b"close"))
                await self._send(answer, send, receive)
                return
            await self._close(answer)
            limit = allowance
        request_body.check_length(scope, limit)
        body = await request_body.read_body(receive, limit)
        try:
            answer = await self._answer(route, scope, body)
        finally:
            # Here and not after the answer is sent: the application has read the body, and the client may read slowly.
            body.file.close()
        await self._send(answer, send)

    async def _answer(
        self, route: Route, scope: Scope, body: Body, changes: Mapping[str, Any] | None = None
    ) -> wsgi.Answer:
        environ = {**wsgi.environ_of(scope, body), **(changes or {})}
        # In this order: a client that waits for an expensive place holds only a place of its own.
        async with self._client_places.take(client_of(scope)):
            # A large body takes long to check, whatever it holds.
            if not route.is_expensive and body.size <= request_body.IN_MEMORY:
                return await self._in_thread(environ)
            async with self._expensive_places.take(""):
                return await self._in_thread(environ)

    async def _in_thread(self, environ: wsgi.Environ) -> wsgi.Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, wsgi.answer, self._application, environ)

    async def _send(self, answer: wsgi.Answer, send: Send, unread: Receive | None = None) -> None:
        """Sends the answer and closes it. With `unread`, also drops the body that nobody has read."""
        try:
            await wsgi.send_answer(answer, send, self._read_stored, is_last=unread is None)
        finally:
            await self._close(answer)
        if unread:
            await refusals.drop_body(unread)
            await send({"type": "http.response.body", "body": b""})

    async def _read_stored(self, file: IO[bytes], size: int) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(None, file.read, size)

    async def _close(self, answer: wsgi.Answer) -> None:
        if answer.file is None:
            return
        if answer.is_stored:  # closing it also ends Django's request, which may use the database
            await asyncio.get_running_loop().run_in_executor(self._threads, answer.file.close)
        else:
            answer.file.close()


def only_header(scope: Scope, name: bytes) -> str | None:
    """Returns the header's value, or None if there is none, or more than one."""
    values = request_body.headers_of(scope, name)
    return values[0].decode("latin-1") if len(values) == 1 else None


def encoded(headers: cross_origin.Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def send_preflight(preflight: cross_origin.Preflight, send: Send) -> None:
    headers = encoded(preflight.headers)
    if preflight.body:
        headers.append((b"content-length", str(len(preflight.body)).encode()))
    await send({"type": "http.response.start", "status": preflight.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": preflight.body})


def is_form_with_files(scope: Scope) -> bool:
    types = request_body.headers_of(scope, b"content-type")
    return any(value.strip().lower().startswith(b"multipart/") for value in types)


def client_of(scope: Scope) -> str:
    """Returns a key for the sender: its credentials, or else its address.

    Forged credentials give other keys, but such requests are refused quickly.
    """
    credentials = request_body.headers_of(scope, b"authorization") or request_body.headers_of(scope, b"cookie")
    if credentials:
        return hashlib.sha256(b"\0".join(credentials)).hexdigest()
    return str(scope["client"][0]) if scope["client"] else ""
