"""JSON in the database that may be large: a step's output and arguments, and a job's payload.

Lists and pages read it up to a limit, and show only the beginning of a larger one. Other addresses stream all of it.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model

MAX_OUTPUT = 256 * 1024
"""The most bytes of an output in an answer that shows other things too."""
BEGINNING = 4_000
"""How many characters are shown of a larger one."""
BLOCK = 256 * 1024

# The text is made once for each row: OFFSET 0 keeps the planner from repeating the expression.
_UP_TO = """
SELECT id, octet_length(text), CASE WHEN octet_length(text) <= %(most)s THEN text ELSE left(text, %(beginning)s) END
FROM (SELECT id, {column}::text AS text FROM {table} WHERE id = ANY(%(ids)s) OFFSET 0) AS found
WHERE text IS NOT NULL
"""
_BLOCKS = """
SELECT substring(body FROM place FOR %(block)s)
FROM (SELECT convert_to({column}::text, 'UTF8') AS body FROM {table} WHERE id = %(id)s OFFSET 0) AS found,
  generate_series(1, octet_length(body), %(block)s) AS place
"""


@dataclass(frozen=True, slots=True)
class LargeJson:
    """JSON that was not read: its size in bytes, and the beginning of its text."""

    size: int
    beginning: str


def read_up_to(most: int, model: type[Model], column: str, ids: Collection[UUID]) -> dict[UUID, Any]:
    """Returns the JSON of each row that has some. A value of more than `most` bytes is a LargeJson."""
    if not ids:
        return {}
    statement = _UP_TO.format(column=column, table=model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"most": most, "beginning": BEGINNING, "ids": list(ids)})
        rows = cursor.fetchall()
    return {id: json.loads(text) if size <= most else LargeJson(size, text) for id, size, text in rows}


def open_whole(model: type[Model], column: str, id: UUID | None) -> IO[bytes]:
    """Returns a temporary file with the JSON of one row, whatever its size: `null` if it has none.

    It is read from the database in blocks and before anything is sent, so that a slow client keeps no transaction open.
    """
    file = SpooledTemporaryFile(max_size=BLOCK)  # noqa: SIM115 - the answer closes it
    statement = _BLOCKS.format(column=column, table=model._meta.db_table)
    # PostgreSQL keeps a cursor only within a transaction.
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(statement, {"block": BLOCK, "id": id})
        while blocks := cursor.fetchmany(1):
            file.write(bytes(blocks[0][0]))
    if not file.tell():
        file.write(b"null")
    file.seek(0)
    return file
