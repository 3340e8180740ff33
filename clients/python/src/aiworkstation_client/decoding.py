"""Turns JSON into the models, and refuses what does not fit them."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from aiworkstation_client.errors import BadAnswer, shorten

T = TypeVar("T")


def parse(body: bytes) -> Any:
    """Raises BadAnswer."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        start = shorten(body[:200].decode(errors="replace"))
        raise BadAnswer(
            f"The answer is not JSON. Is AI Workstation at this address? It begins with {start!r}"
        ) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read(model: type[T], data: Any) -> T:
    """Returns the model. Raises BadAnswer, which names the field that does not fit."""
    value: T = _read(model, data, model.__name__)
    return value


def read_page(model: type[T], key: str, data: Any) -> tuple[list[T], str | None]:
    """Returns the rows of a page of a list, and the cursor of the next page. Raises BadAnswer."""
    page = _of(dict, data, "page")
    rows: list[T] = _read(list[model], page.get(key), key)  # type: ignore[valid-type]
    return rows, _read(str | None, page.get("nextCursor"), "nextCursor")


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
        return None if value is None else _read(kind, value, place)
    if origin is Literal:
        return _read(str, value, place)
    if origin is list:
        items = _of(list, value, place)
        return [_read(get_args(kind)[0], item, f"{place}.{index}") for index, item in enumerate(items)]
    if origin is dict:
        return _of(dict, value, place)
    if is_dataclass(kind):
        return _read_model(kind, _of(dict, value, place), place)
    if kind is datetime:
        return _read_time(value, place)
    return float(_of((int, float), value, place)) if kind is float else _of(kind, value, place)


def _read_model(model: Any, data: dict[str, Any], place: str) -> Any:
    values = {"raw": data}
    for name, (key, kind, is_required) in _keys(model).items():
        if key in data:
            values[name] = _read(kind, data[key], f"{place}.{key}")
        elif is_required:
            raise BadAnswer(f"{place} has no {key}. Is the server of another version?")
    return model(**values)


def _read_time(value: Any, place: str) -> datetime:
    try:
        return datetime.fromisoformat(_of(str, value, place))
    except ValueError as error:
        raise BadAnswer(f"{place} is not a time: {shorten(value)!r}") from error


def _of(kind: type | tuple[type, ...], value: Any, place: str) -> Any:
    """JSON has no subclasses: true is not a number here."""
    if type(value) in (kind if isinstance(kind, tuple) else (kind,)):
        return value
    raise BadAnswer(f"{place} has an unexpected value: {shorten(repr(value))}")


@cache
def _keys(model: Any) -> dict[str, tuple[str, Any, bool]]:
    """For each field: its key in JSON, its type, and whether it must be there."""
    hints = get_type_hints(model)
    return {
        each.name: (camel(each.name), hints[each.name], _is_required(each))
        for each in fields(model)
        if each.name != "raw"
    }


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def camel(name: str) -> str:
    """`job_id` becomes `jobId`."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
