"""The client for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx2

from aiworkstation_client import calls, uploads
from aiworkstation_client.connection import failure, make_connection
from aiworkstation_client.exchange import (
    Answer,
    Effect,
    Inbox,
    InThread,
    Operation,
    Pause,
    Request,
    SendOnce,
    Tell,
    Together,
    attempts,
)
from aiworkstation_client.http_arguments import http_arguments

P = ParamSpec("P")
T = TypeVar("T")


def _call(operation: Callable[P, Operation[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Makes a coroutine method of an operation."""

    @wraps(operation)
    async def method(self: AsyncClient, /, *arguments: P.args, **named: P.kwargs) -> T:
        return await self._carry_out(operation(*arguments, **named))

    return method


def _list(listing: Callable[P, calls.Listing[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """Makes a method of a listing, for `async for`. It reads the next page only when it is needed."""

    @wraps(listing)
    def method(self: AsyncClient, /, *arguments: P.args, **named: P.kwargs) -> AsyncIterator[T]:
        return self._iterate(listing(*arguments, **named))

    return method


class AsyncClient:
    """Calls AI Workstation's API like `Client`, with coroutines. Use it in one event loop of asyncio."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 5,
        allow_http: bool = False,
    ) -> None:
        self._connection = make_connection(url, token, timeout=timeout, allow_http=allow_http)
        self._retries = retries
        self._http = httpx2.AsyncClient(**self._connection.http_options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    @property
    def url(self) -> str:
        return self._connection.url

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    upload = _call(uploads.upload)
    upload_files = _call(uploads.upload_files)

    start = _call(calls.start)
    start_workflow = _call(calls.start_workflow)
    start_bulk_documents = _call(calls.start_bulk_documents)
    start_reprocess = _call(calls.start_reprocess)
    ingest = _call(calls.ingest)
    run_workflow = _call(calls.run_workflow)

    get_job = _call(calls.get_job)
    wait = _call(calls.wait)
    get_step = _call(calls.get_step)
    output = _call(calls.output)
    download_output = _call(calls.download_output)
    cancel = _call(calls.cancel)
    retry = _call(calls.retry)
    retry_step = _call(calls.retry_step)
    rerun = _call(calls.rerun)
    preview_rerun = _call(calls.preview_rerun)
    approve = _call(calls.approve)
    reject = _call(calls.reject)
    delete_job = _call(calls.delete_job)
    bulk = _call(calls.bulk)
    preview_bulk = _call(calls.preview_bulk)

    get_document = _call(calls.get_document)
    delete_document = _call(calls.delete_document)
    text = _call(calls.text)
    download_file = _call(calls.download_file)
    search = _call(calls.search)

    get_workflow = _call(calls.get_workflow)
    save_workflow = _call(calls.save_workflow)

    request = _call(calls.request)

    jobs = _list(calls.jobs)
    steps = _list(calls.steps)
    events = _list(calls.events)
    documents = _list(calls.documents)
    chunks = _list(calls.chunks)
    workflows = _list(calls.workflows)
    tools = _list(calls.tools)
    modes = _list(calls.modes)

    async def _iterate(self, listing: calls.Listing[T]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            rows, cursor = await self._carry_out(listing.page(cursor))
            for row in rows:
                yield row
            if cursor is None:
                return

    async def _carry_out(self, operation: Operation[T]) -> T:
        """Returns the result of the operation."""
        with closing(operation):
            resume: Callable[[], Effect] = partial(next, operation)
            while True:
                try:
                    effect = resume()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    resume = partial(operation.send, await self._perform(effect))
                except Exception as error:
                    resume = partial(operation.throw, error)

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return await self._carry_out(attempts(effect, self._retries))
            case SendOnce(request):
                return await self._send(request)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case InThread(function):
                return await asyncio.to_thread(function)
            case Tell(function, value):
                told = function(value)
                if inspect.isawaitable(told):
                    await told
            case Together(operations, limit):
                return await self._carry_out_together(list(operations), limit)
        return None

    async def _send(self, request: Request) -> Answer:
        try:
            with http_arguments(self.url, request, _never) as arguments:
                async with self._http.stream(**arguments) as response:
                    return await self._receive(request, response)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise failure(error, self.url) from error

    async def _receive(self, request: Request, response: httpx2.Response) -> Answer:
        with closing(Inbox(request, response.status_code, response.headers, self._connection.timeout)) as inbox:
            async for chunk in response.aiter_raw():
                inbox.add(chunk)
            return inbox.answer()

    async def _carry_out_together(self, operations: list[Operation[Any]], limit: int) -> list[Any]:
        results: list[Any] = [None] * len(operations)
        waiting = iter(enumerate(operations))

        async def work() -> None:
            for index, operation in waiting:
                results[index] = await self._carry_out(operation)

        workers = [asyncio.ensure_future(work()) for _ in range(min(limit, len(operations)))]
        try:
            await asyncio.gather(*workers)
        finally:
            # The first exception leaves the others running.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return results


def _never() -> None:
    """A cancelled task stops by itself."""
