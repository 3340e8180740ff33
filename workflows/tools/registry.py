"""The tools that this process knows, by slug."""

import pkgutil
from importlib import import_module

from workflows.tools.base import Slot, Tool

MODEL_STEP = ""
"""The slug of a step without a tool: a model carries it out."""

_registry: dict[str, Tool] = {}


def register(tool: type[Tool]) -> type[Tool]:
    """Class decorator. Raises ValueError if another class has the slug."""
    registered = _registry.get(tool.slug)
    if registered is not None and type(registered) is not tool:
        raise ValueError(f"two tools are named {tool.slug}: {type(registered)!r} and {tool!r}")
    _registry[tool.slug] = tool()
    return tool


def import_builtin_tools() -> None:
    """Imports every module in this package, so that the tools in them register themselves."""
    package = import_module("workflows.tools")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)


def get(slug: str) -> Tool | None:
    return _registry.get(slug)


def all_tools() -> list[Tool]:
    return sorted(_registry.values(), key=lambda tool: tool.slug)


def offered_tools() -> list[Tool]:
    """The tools that a step of a user's job may name."""
    return [tool for tool in all_tools() if not tool.is_internal]


def known_slugs() -> tuple[str, ...]:
    """The slugs of the steps that this process can run."""
    return *sorted(_registry), MODEL_STEP


def missing_here() -> dict[str, str]:
    """The tools that cannot run on this machine, and why. Reads the database."""
    return {slug: why for slug, tool in sorted(_registry.items()) if (why := tool.missing_here())}


def slot_of(slug: str) -> Slot:
    tool = _registry.get(slug)
    return tool.slot if tool is not None else "async"
