"""The arithmetic of `make bench-documents`: copies of files, files read at once, and the targets of search."""

from pathlib import Path

from bench.documents import search_targets
from bench.documents.bulk_job import Bulk, Ended
from bench.documents.corpus import CorpusFile, shuffled_copies
from bench.documents.ingestion import concurrency
from documents.reading.pipeline import read

SAMPLES = Path(__file__).parents[1] / "samples"


def _row(name: str) -> CorpusFile:
    path = SAMPLES / name
    return CorpusFile(path, f"good/{name}", path.suffix[1:], "utf-8", frozenset({"ok"}), frozenset(), ())


def test_copies_are_other_bytes_and_the_same_text(tmp_path: Path) -> None:
    rows = [_row("quarterly-sales-report.pdf"), _row("service-contract.docx")]
    made = list(shuffled_copies(rows, 6, tmp_path))
    assert len({path.read_bytes() for _, path in made} | {row.path.read_bytes() for row in rows}) == 8
    assert all(read(path, path.name)["pages"] == read(row.path, row.path.name)["pages"] for row, path in made)


def test_files_that_run_at_once_are_counted() -> None:
    """A file that ends at the moment when the next one begins does not overlap with it."""
    spans = [(0.0, 4.0), (0.0, 2.0), (2.0, 3.0), (3.0, 3.5)]
    files = [Ended(str(number), "ok", "", *span) for number, span in enumerate(spans)]
    found = concurrency(Bulk(files, 4.0, 4, 4, 0.0, 0.0, {}))
    assert found["most_at_once"] == 2
    assert found["share_at_most"] == 1.0


def test_every_kind_of_question_that_is_too_slow_is_named() -> None:
    p95 = {
        "long": {"idle": 50.0, "replacing": 50.1},
        "a phrase": {"idle": 20.0, "replacing": 70.0},
        "with vectors: long": {"idle": 30.0, "replacing": 40.0},
    }
    rows = search_targets.rows(
        [
            {"figure": "search", "chunks": 100_000, "p95": p95},
            {"figure": "search", "chunks": 1_000, "p95": p95},
            {"figure": "search", "skipped": "no time"},
        ]
    )
    assert [row[-1] for row in rows] == ["measured"] * 4 + ["reached", "**missed**", "reached", "reached"]
    assert [row[2] for row in rows[4:]] == [
        "50 ms (long)",
        "70 ms (a phrase); 50 ms (long)",
        "30 ms (long)",
        "40 ms (long)",
    ]


def test_ranking_has_to_be_as_good_as_the_peer() -> None:
    scores = {"figure": "quality", "collection": "cranfield", "bm25s": 0.551}
    good, bad = {**scores, "text": 0.553, "both": 0.585}, {**scores, "text": 0.550, "both": 0.578}
    assert [row[-1] for row in search_targets.rows([good, bad])] == ["reached"] * 2 + ["**missed**"] * 2
