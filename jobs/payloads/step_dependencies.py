"""Turns `dependsOn`, the names of steps, into indexes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from aiworkstation.web.serializers import Errors, invalid

MAX_LISTED = 20


def dependencies(steps: list[Any]) -> tuple[list[list[int]], dict[int, Errors]]:
    """Returns for each step the indexes of the steps that it depends on, and the errors by step.

    `steps` is the input as sent. Steps with other errors are skipped, so that all errors are reported at once.
    """
    names = [_name(step) for step in steps]
    given = [_depends_on(step) for step in steps]
    errors: dict[int, Errors] = {}
    if any(wanted is not None for wanted in given):
        errors |= _repeated(names)
    # Reversed, so that the first of several equal names wins.
    index_of = {name: index for index, name in reversed(list(enumerate(names))) if name}
    parents: list[list[int]] = []
    for index, wanted in enumerate(given):
        if wanted is None:
            parents.append([index - 1] if index else [])
            continue
        if unknown := [name for name in wanted if name not in index_of]:
            message = f"There is no step {_quoted(unknown)}. Choose one of: {_quoted(index_of)}."
            errors.setdefault(index, {})["dependsOn"] = invalid(message, "unknown")
        parents.append([index_of[name] for name in dict.fromkeys(wanted) if name in index_of])
    for index in _in_cycles(parents):
        message = "The step would wait for itself, directly or through others."
        errors.setdefault(index, {}).setdefault("dependsOn", invalid(message, "cycle"))
    return parents, errors


def _quoted(names: Iterable[str]) -> str:
    listed = list(names)
    more = [f"and {len(listed) - MAX_LISTED} more"] if len(listed) > MAX_LISTED else []
    return ", ".join([*(f'"{name}"' for name in listed[:MAX_LISTED]), *more])


def _name(step: Any) -> str:
    name = step.get("name") if isinstance(step, Mapping) else None
    return name.strip() if isinstance(name, str) else ""


def _depends_on(step: Any) -> list[str] | None:
    wanted = step.get("dependsOn") if isinstance(step, Mapping) else None
    if not isinstance(wanted, list):
        return None
    return [name.strip() for name in wanted if isinstance(name, str)]


def _repeated(names: list[str]) -> dict[int, Errors]:
    """Reports every step whose name an earlier step has."""
    seen: Counter[str] = Counter()
    errors: dict[int, Errors] = {}
    for index, name in enumerate(names):
        seen[name] += 1
        if name and seen[name] > 1:
            message = f'An earlier step is named "{name}" too. With dependsOn, names must be unique.'
            errors[index] = {"name": invalid(message, "unique")}
    return errors


def _in_cycles(parents: list[list[int]]) -> list[int]:
    """Returns the steps on a cycle.

    Steps that nothing depends on, or that depend on nothing, are removed until no more can be removed.
    """
    left = set(range(len(parents)))
    while True:
        needed = {parent for index in left for parent in parents[index] if parent in left}
        free = {index for index in left if index not in needed or not left.intersection(parents[index])}
        if not free:
            return sorted(left)
        left -= free
