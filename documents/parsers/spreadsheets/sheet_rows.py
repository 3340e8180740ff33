"""The cells of a sheet, as its readers fill them in. Only cells with text take memory, however large the sheet is."""

from dataclasses import dataclass, field

from documents.errors import TooLarge
from documents.parsers import MAX_CELLS, Rows

MAX_WIDTH = 256
"""In a wider sheet, blank columns are left out. One cell in Excel's last column would give each row 16,384 cells."""


class CellLimit:
    """Counts the cells of a workbook. Raises TooLarge above the limit."""

    def __init__(self) -> None:
        self.cells = 0

    def add(self, cells: int) -> None:
        self.cells += cells
        if self.cells > MAX_CELLS:
            raise TooLarge(f"The workbook has over {MAX_CELLS} cells: split it, or save the sheets needed as CSV.")


@dataclass
class Sheet:
    """A sheet: its rows with text, from top to bottom, and texts outside the cells, such as comments."""

    name: str
    rows: Rows = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


@dataclass
class SheetRows:
    """Collects the rows of a sheet. Each is `{column: text}`, without blank cells."""

    limit: CellLimit
    rows: list[dict[int, str]] = field(default_factory=list)

    def add(self, row: dict[int, str], times: int = 1) -> None:
        """Adds a row, or several that are equal, unless it is blank. Raises TooLarge."""
        if row:
            self.limit.add(len(row) * times)
            self.rows += [row] * times

    def table(self) -> Rows:
        """Returns the rows, each as wide as the widest. Blank cells count towards the limit as well."""
        columns: list[int] = sorted({column for row in self.rows for column in row})
        if not columns:
            return []
        if columns[-1] < MAX_WIDTH:
            columns = [*range(columns[-1] + 1)]
        self.limit.add(len(columns) * len(self.rows) - sum(map(len, self.rows)))
        return [[row.get(column, "") for column in columns] for row in self.rows]
