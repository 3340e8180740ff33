"""The column names of tables, as parsers write tables into a page: a line for each row, with bars between the cells."""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

_TABLE = re.compile(r"(?:^(?>[^\n]*? \| )[^\n]*+(?:\n|\Z)){3,}+", re.MULTILINE)
"""It never tries another place of a bar: lines full of bars would take time without end."""
_NUMBER = re.compile(r"[\d.,:/%€$£ +-]+")
JOINT = 2
"""How many tokens a text may have beyond those of its two halves."""


class Headings:
    """The column names for each place on a page. `limit` is the size from which they are too long to be repeated."""

    def __init__(self, text: str, count: Callable[[str], int], limit: int) -> None:
        self._starts: list[int] = []
        self._texts: list[str] = []
        self._sizes: list[int] = []
        for table in _TABLE.finditer(text):
            first_end = text.index("\n", table.start()) + 1
            heading = text[table.start() : first_end]
            size = count(heading) + JOINT if are_names(heading) and len(heading) <= 32 * limit else limit + 1
            if size <= limit:
                self._add(first_end, heading, size)
                self._add(table.end(), "", 0)

    def _add(self, start: int, text: str, size: int) -> None:
        self._starts.append(start)
        self._texts.append(text)
        self._sizes.append(size)

    def at(self, place: int) -> str:
        """Returns the column names with a line break, if a table's rows are there. Otherwise ""."""
        number = bisect_right(self._starts, place) - 1
        return self._texts[number] if number >= 0 else ""

    def size_at(self, place: int) -> int:
        number = bisect_right(self._starts, place) - 1
        return self._sizes[number] if number >= 0 else 0


def are_names(line: str) -> bool:
    """Whether a table's first row names its columns: most of its cells are not numbers, and none occurs twice."""
    cells = [cell.strip(" |") for cell in line.strip().split(" | ")]
    named = [cell for cell in cells if cell and not _NUMBER.fullmatch(cell)]
    return len(named) > len(cells) / 2 and all(a != b for a, b in pairwise(sorted(named)))
