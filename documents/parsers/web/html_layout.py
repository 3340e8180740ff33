"""The layout of a web page by its elements: numbers of list items, columns of cells, menus of links."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from documents.errors import TooLarge
from documents.parsers import MAX_CELLS
from documents.parsers.signs.list_numerals import NUMERALS

MAX_COLSPAN, MAX_ROWSPAN = 1_000, 65_534
"""The limits of browsers."""
MIN_LINKED_SHARE = 0.6
"""The share of links in a menu's text. A page that only lists chapters is not called a menu, so it stays."""

_MENU = re.compile(r"(?:^|[\s_-])(?:nav|navbar|navi|navigation|menu|breadcrumbs?|topnav|sitenav)(?:$|[\s_-])")
Prefixes = dict[int, str]
"""The text to put before an element's own, by the element's `mem_id`."""


def is_called_menu(node: LexborNode) -> bool:
    attributes = node.attributes
    names = f"{attributes.get('id') or ''} {attributes.get('class') or ''}".lower() if attributes else ""
    return bool(_MENU.search(names))


def is_made_of_links(node: LexborNode) -> bool:
    """Whether most of the text is links, as in navigation that is not marked as `nav`."""
    links = sum(_length(link) for link in node.css("a"))
    return links > MIN_LINKED_SHARE * _length(node)


def _length(node: LexborNode) -> int:
    return len("".join(node.text().split()))


def item_numbers(items: LexborNode) -> Prefixes:
    """Returns the numbers of the items of a numbered list."""
    attributes = items.attributes
    numerals = NUMERALS.get(attributes.get("type") or "", str)
    children = [child for child in items.iter() if child.tag == "li"]
    is_reversed = "reversed" in attributes
    number = _integer(attributes.get("start"), len(children) if is_reversed else 1)
    found: Prefixes = {}
    for child in children:
        number = _integer(child.attributes.get("value"), number)
        found[child.mem_id] = f"{numerals(number)}. "
        number += -1 if is_reversed else 1
    return found


def column_marks(table: LexborNode, mark: str) -> Prefixes:
    """Returns, for each cell with text, a mark for every column since the previous cell with text.

    Columns in which no cell with text begins, such as spacers, do not count.
    """
    rows = [[(cell, column) for cell, column in row if cell.text().strip()] for row in _columns(table)]
    ranks = {column: rank for rank, column in enumerate(sorted({column for row in rows for _, column in row}))}
    found: Prefixes = {}
    for row in rows:
        last = -1
        for cell, column in row:
            found[cell.mem_id] = mark * (ranks[column] - last)
            last = ranks[column]
    return found


def _columns(table: LexborNode) -> Iterator[list[tuple[LexborNode, int]]]:
    """Yields the cells of each row with the columns in which they begin. Raises TooLarge."""
    tall: dict[int, int] = {}  # for how many more rows a column belongs to a cell above
    total = 0
    for row in _rows(table):
        cells, column = [], 0
        for cell in row.iter():
            if cell.tag not in {"td", "th"}:
                continue
            while tall.get(column, 0) > 0:
                tall[column] -= 1
                column += 1
            cells.append((cell, column))
            wide = _span(cell, "colspan", MAX_COLSPAN)
            rows = _span(cell, "rowspan", MAX_ROWSPAN)
            if rows > 1:
                tall.update(dict.fromkeys(range(column, column + wide), rows - 1))
            column += wide
        total += len(tall) + column
        if total > MAX_CELLS:
            raise TooLarge(f"The page has a table of over {MAX_CELLS} cells: split it.")
        tall = {place: left if place < column else left - 1 for place, left in tall.items() if left > 0}
        yield cells


def _rows(table: LexborNode) -> Iterator[LexborNode]:
    for part in table.iter():
        if part.tag == "tr":
            yield part
        elif part.tag in {"thead", "tbody", "tfoot"}:
            yield from (row for row in part.iter() if row.tag == "tr")


def _span(cell: LexborNode, name: str, limit: int) -> int:
    return min(max(_integer(cell.attributes.get(name), 1), 1), limit)


def _integer(value: str | None, default: int) -> int:
    try:
        return int(value or "")
    except ValueError:
        return default
