"""The client that blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
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


def _call(operation: Callable[P, Operation[T]]) -> Callable[Concatenate[Client, P], T]:
    """Makes a method of an operation."""

    @wraps(operation)
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self._carry_out(operation(*arguments, **named))

    return method


def _list(listing: Callable[P, calls.Listing[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """Makes a method of a listing, which reads the next page only when it is needed."""

    @wraps(listing)
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        return self._iterate(listing(*arguments, **named))

    return method


class Client:
    """Calls AI Workstation's API.

    `url` is the address of the server, by default AIW_URL or http://127.0.0.1:8000. `token` is an API token, by default
    AIW_TOKEN. `timeout` is in seconds: the longest silence in an exchange, and the longest time for an answer that is
    not stored in a file. `retries` is how often a request is repeated if that is safe. `allow_http` sends the token
    unencrypted to another machine. Threads may share a client.
    """

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
        self._http = httpx2.Client(**self._connection.http_options)
        self._never = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def url(self) -> str:
        return self._connection.url

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

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

    def _iterate(self, listing: calls.Listing[T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            rows, cursor = self._carry_out(listing.page(cursor))
            yield from rows
            if cursor is None:
                return

    def _carry_out(self, operation: Operation[T], stop: threading.Event | None = None) -> T:
        """Returns the result of the operation. Raises Stopped soon after `stop` is set."""
        stop = stop or self._never
        with closing(operation):
            resume: Callable[[], Effect] = partial(next, operation)
            while True:
                try:
                    effect = resume()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    resume = partial(operation.send, self._perform(effect, stop))
                except Exception as error:
                    resume = partial(operation.throw, error)

    def _perform(self, effect: Effect, stop: threading.Event) -> Any:
        match effect:
            case Request():
                return self._carry_out(attempts(effect, self._retries), stop)
            case SendOnce(request):
                return self._send(request, stop)
            case Pause(seconds):
                stop.wait(seconds)
                _check(stop)
            case InThread(function):
                return function()
            case Tell(function, value):
                function(value)
            case Together(operations, limit):
                return self._carry_out_together(list(operations), limit)
        return None

    def _send(self, request: Request, stop: threading.Event) -> Answer:
        _check(stop)
        try:
            with (
                http_arguments(self.url, request, partial(_check, stop)) as arguments,
                self._http.stream(**arguments) as response,
                closing(Inbox(request, response.status_code, response.headers, self._connection.timeout)) as inbox,
            ):
                for chunk in response.iter_raw():
                    _check(stop)
                    inbox.add(chunk)
                return inbox.answer()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise failure(error, self.url) from error

    def _carry_out_together(self, operations: list[Operation[Any]], limit: int) -> list[Any]:
        stop = threading.Event()
        with ThreadPoolExecutor(limit, thread_name_prefix="aiworkstation") as pool:
            try:
                futures = [pool.submit(self._carry_out, operation, stop) for operation in operations]
                for future in as_completed(futures):
                    future.result()
                return [future.result() for future in futures]
            except BaseException:
                # The pool waits for its threads. Ctrl-C must not wait for the rest of large files.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class Stopped(Exception):
    """Another operation failed, or Ctrl-C was pressed."""


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
