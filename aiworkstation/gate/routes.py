"""What each address accepts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


@dataclass(frozen=True)
class Route:
    """The limits of the addresses whose path matches `pattern` completely."""

    pattern: re.Pattern[str]
    max_body: int
    """Bytes. An upload may be larger: its limit is what the caller's allowance says."""
    takes_files: bool = False
    """An upload: the body is read only after the caller's allowance is known. Other addresses refuse such forms."""
    is_expensive: bool = False
    """Such requests share a few threads, so that they never take all."""
    error_extras: Mapping[str, Any] | None = None
    """The keys of this address's JSON errors besides `type` and `errors`."""


def route(pattern: str, max_body: int, **rules: Any) -> Route:
    return Route(re.compile(pattern), max_body, **rules)


def find(routes: Sequence[Route], path: str) -> Route:
    """Returns the first route that matches. The last one of `routes` must match every path."""
    return next(route for route in routes if route.pattern.fullmatch(path))
