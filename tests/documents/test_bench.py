"""The benchmark's own sums: copies that are no duplicates, and how many files were read at once."""

from pathlib import Path

from bench.documents.corpus import Row, copies
from bench.documents.ingesting import running
from bench.documents.product import Bulk, Ended
from documents.pipeline import read

SAMPLES = Path(__file__).parents[1] / "samples"


def _row(name: str) -> Row:
    path = SAMPLES / name
    return Row(path, f"good/{name}", path.suffix[1:], "utf-8", frozenset({"ok"}), frozenset(), ())


def test_copies_are_other_bytes_and_the_same_text(tmp_path: Path) -> None:
    rows = [_row("quarterly-sales-report.pdf"), _row("service-contract.docx")]
    made = list(copies(rows, 6, tmp_path))
    assert len({path.read_bytes() for _, path in made} | {row.path.read_bytes() for row in rows}) == 8
    assert all(read(path, path.name)["pages"] == read(row.path, row.path.name)["pages"] for row, path in made)


def test_files_that_run_at_once_are_counted() -> None:
    """One ends in the moment in which the next begins: they were never two."""
    spans = [(0.0, 4.0), (0.0, 2.0), (2.0, 3.0), (3.0, 3.5)]
    files = [Ended(str(number), "ok", "", *span) for number, span in enumerate(spans)]
    found = running(Bulk(files, 4.0, 4, 4, 0.0, 0.0, {}))
    assert found["most_at_once"] == 2
    assert found["share_at_most"] == 1.0
