"""Finds jobs by the values in their input: `documentId=doc1`, `steps.0.tool=HTTP_REQUEST`.

Each value of a payload becomes terms, one for each way to name it, which are stored when the job starts, apart from the
job's own row: that row is updated often, and an index of it would be written each time. A term is a hash of 8 bytes, so
the table is small and its index serves every key. A condition becomes one term.
"""

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework import serializers

from aiworkstation.web.requests import MAX_TEXT
from aiworkstation.web.serializers import StrictSerializer
from jobs.models import JobInput

MOST_CONDITIONS = 10
MOST_NUMBERED = 200
"""Values in longer lists are not named by their places."""
RARE = 2000
"""A value that no more jobs have is rare."""
_CONDITION = re.compile(r'([^\s=]+)=(?:"([^"]*)"|(\S*))(?:\s+|$)')
_EXAMPLE = "Write key=value, such as documentId=doc1 or steps.0.tool=HTTP_REQUEST."


class BadInput(ValueError):
    """The text is no list of conditions. The message says what to write."""


def conditions(text: str) -> list[tuple[str, str]]:
    """Reads `key=value key="a value with spaces"`. A job must have all of them. Raises BadInput."""
    found: list[tuple[str, str]] = []
    at, text = 0, text.strip()
    while at < len(text):
        match = _CONDITION.match(text, at)
        if match is None:
            raise BadInput(f"{text[at : at + 50]} is not a condition. {_EXAMPLE}")
        key, quoted, plain = match.groups()
        found.append((key, plain if quoted is None else quoted))
        at = match.end()
    if len(found) > MOST_CONDITIONS:
        raise BadInput(f"At most {MOST_CONDITIONS} conditions are allowed.")
    return found


def has_input(text: str) -> Q:
    """The jobs whose input fulfills the conditions. Raises BadInput. It costs a statement.

    PostgreSQL cannot know how rare a value is, and would look for a rare one in every job of a list. So the jobs with a
    rare value are read from the index first. A frequent value is soon found among the newest jobs.
    """
    wanted = [_term(key, value) for key, value in conditions(text)]
    if not wanted:
        return Q()
    ids = list(JobInput.objects.filter(terms__contains=wanted).values_list("pk", flat=True)[: RARE + 1])
    return Q(pk__in=ids) if len(ids) <= RARE else Q(input__terms__contains=wanted)


def remember_input(execution_id: UUID, payload: Any) -> None:
    """Stores the terms of a new job. Call it in the transaction that stores the job."""
    JobInput.objects.create(execution_id=execution_id, terms=sorted(set(_terms(payload))))


def _term(key: str, value: str) -> int:
    # U+0000 is in no JSON that is stored, so no other key and value give the same text.
    digest = blake2b(f"{key}\0{value}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _terms(payload: Any) -> Iterator[int]:
    names: dict[Shape, list[str]] = {}  # thousands of documents have the same shape
    for path, value in _values(payload, ()):
        text = value if isinstance(value, str) else json.dumps(value)
        shape = tuple(None if isinstance(part, int) else part for part in path)
        if shape not in names:
            names[shape] = sorted(_names(shape))
        for name in names[shape]:
            yield _term(name, text)
        places = [part for part in path if isinstance(part, int)]
        if places and max(places) < MOST_NUMBERED:
            yield _term(".".join(map(str, path)), text)


Path = tuple[str | int, ...]
Shape = tuple[str | None, ...]
"""A path, with None for the places in lists."""


def _values(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The strings, numbers, booleans and nulls in JSON, each with its path. JSON is at most 100 levels deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _values(value, (*path, key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _values(value, (*path, place))
    else:
        yield path, node


def _names(shape: Shape) -> set[str]:
    """`steps.tool` and `tool`. The id of a document is `documentId`, wherever it is."""
    keys = [part for part in shape if part is not None]
    names = {".".join(keys[place:]) for place in range(len(keys))}
    if shape[-1:] == (None,) and keys and keys[-1].endswith("Ids"):  # documentIds: ["doc1"]
        names.add(keys[-1].removesuffix("s"))
    if shape[-2:] == (None, "id") and len(keys) > 1:  # documents: [{"id": "doc1"}]
        names.add(f"{keys[-2].removesuffix('s')}Id")
    return names


class InputFilterField(serializers.CharField):
    """The parameter `input` of a list of jobs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=MAX_TEXT, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = str(super().to_internal_value(data))
        try:
            conditions(text)
        except BadInput as error:
            raise serializers.ValidationError(str(error)) from error
        return text


class JobFilters(StrictSerializer):
    """The filters that only lists of jobs have."""

    input = InputFilterField()
