"""A transaction as a generator, so that one text of each verb serves Django's connections and the runner's own.

A verb yields lists of queries and is sent a list of their rows. It returns its result and the notifications to send
after the commit.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, transaction
from psycopg import AsyncConnection
from psycopg.sql import quote

T = TypeVar("T")
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with named parameters."""

    sql: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """A notification (NOTIFY) for the workers, sent after the commit: inside it, commits would queue up."""

    channel: str
    payload: str


Part = Generator[Sequence[Query], list[list[Row]], T]
"""A piece of a verb, for `yield from`."""
Verb = Part[tuple[T, list[Note]]]


def run(verb: Verb[T], *, is_one_statement: bool = False) -> T:
    """Runs a verb in a transaction on Django's connection, within the caller's if there is one.

    A verb of one statement needs none of its own: that saves the round trips of BEGIN and COMMIT.
    """
    with nullcontext() if is_one_statement else transaction.atomic():
        result, notes = _drive(verb)
        if notes:
            send(notes)
    return result


def _drive(verb: Verb[T]) -> tuple[T, list[Note]]:
    rows: list[list[Row]] = []
    started = False
    with connection.cursor() as cursor:
        while True:
            try:
                queries = verb.send(rows) if started else next(verb)
            except StopIteration as end:
                result: tuple[T, list[Note]] = end.value
                return result
            started = True
            rows = []
            for query in queries:
                cursor.execute(query.sql, query.params)
                rows.append(cursor.fetchall() if cursor.description else [])


def send(notes: list[Note]) -> None:
    """Notifies the workers once the caller's transaction is committed."""
    transaction.on_commit(lambda: _notify(notes))


def _notify(notes: list[Note]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_as_statements(notes))


def _as_statements(notes: list[Note]) -> str:
    """One round trip; NOTIFY takes no parameters, and needs no plan."""
    return ";".join(f"NOTIFY {note.channel}, {quote(note.payload)}" for note in notes)


async def run_async(connection: AsyncConnection[Row], verb: Verb[T], *, is_one_statement: bool = False) -> T:
    """Runs a verb in a transaction on the runner's connection, which commits by itself outside of one."""
    async with nullcontext() if is_one_statement else connection.transaction():
        result, notes = await _drive_async(connection, verb)
    if notes:
        await connection.execute(_as_statements(notes))
    return result


async def _drive_async(connection: AsyncConnection[Row], verb: Verb[T]) -> tuple[T, list[Note]]:
    rows: list[list[Row]] = []
    started = False
    while True:
        try:
            queries = verb.send(rows) if started else next(verb)
        except StopIteration as end:
            result: tuple[T, list[Note]] = end.value
            return result
        started = True
        rows = []
        for query in queries:
            cursor = await connection.execute(query.sql, query.params)
            rows.append(await cursor.fetchall() if cursor.description else [])
