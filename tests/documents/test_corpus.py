"""Real and hostile documents, each in a process with limits. One pass over the corpus serves all tests here."""

import csv
import importlib.util
import json
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.documents.reading_child import read_limited

FORMATS = {"csv", "docx", "html", "json", "md", "pdf", "tsv", "txt"}
TIME_LIMIT_SECONDS = 60

Row = dict[str, str]
Reading = dict[str, Any]

UNREADABLE_FOR_PYPDF = {
    # Greek letters that come as control characters
    ("good/GeoTopo-komprimiert.pdf", "versehen mit der Quotiententopologie, π"),
    ("good/GeoTopo-komprimiert.pdf", "gibt es Weg δi in"),
    # a ligature that comes as NUL
    ("good/copy-protected.pdf", "This makes it difficult for"),
    # a blank before the hyphen at the line's end
    ("good/vector-pdf.pdf", "indicate that the Compact’s drafters"),
}


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[Row]:
    with (corpus / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["format"] in FORMATS]


@pytest.fixture(scope="module")
def readings(corpus: Path, rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    folder = tmp_path_factory.mktemp("readings")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.documents.reading_child"])

    def outcome(row: Row) -> Reading:
        output = folder / f"{rows.index(row)}.json"
        process = context.Process(target=read_limited, args=(corpus / row["file"], output))
        process.start()
        process.join(TIME_LIMIT_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            return {"code": "timed_out"}
        if process.exitcode != 0:
            return {"code": "crashed"}
        reading: Reading = json.loads(output.read_text())
        return reading

    with ThreadPoolExecutor(2) as pool:
        return dict(zip([row["file"] for row in rows], pool.map(outcome, rows), strict=True))


@pytest.fixture(scope="module")
def contains(corpus: Path) -> Callable[[str, str], bool]:
    rules = _load(corpus / "textnorm.py")
    norm, squeeze = lru_cache(4)(rules.norm), lru_cache(4)(rules.squeeze)
    return lambda text, phrase: bool(rules.contains(norm(text), squeeze(text), phrase))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("textnorm", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["textnorm"] = module
    spec.loader.exec_module(module)
    return module


def test_good_files_are_read(rows: list[Row], readings: dict[str, Reading]) -> None:
    wrong = {
        row["file"]: readings[row["file"]]["code"]
        for row in rows
        if row["file"].startswith("good/") and readings[row["file"]]["code"] not in row["expected"].split("|")
    }
    assert wrong == {}


def test_bad_files_end_with_one_of_their_codes(rows: list[Row], readings: dict[str, Reading]) -> None:
    wrong = {
        row["file"]: readings[row["file"]]["code"]
        for row in rows
        if row["file"].startswith("bad/") and not _is_accepted(readings[row["file"]]["code"], row["codes"])
    }
    assert wrong == {}


def _is_accepted(code: str, codes: str) -> bool:
    return code in codes.split() or ("*" in codes.split() and code != "crashed")


def test_phrases_are_found(rows: list[Row], readings: dict[str, Reading], contains: Callable[[str, str], bool]) -> None:
    missing = {
        (row["file"], phrase)
        for row in rows
        if readings[row["file"]]["code"] == "ok" and "cjk" not in row["tags"] and "arabic.pdf" not in row["file"]
        for phrase in filter(None, row["must_contain"].split(";"))
        if not contains("\n".join(readings[row["file"]]["pages"]), phrase)
    }
    assert missing == UNREADABLE_FOR_PYPDF


def test_phrases_are_on_their_pages(
    rows: list[Row], readings: dict[str, Reading], contains: Callable[[str, str], bool]
) -> None:
    wrong = [
        (row["file"], phrase, page)
        for row in rows
        if row["phrase_pages"] and readings[row["file"]]["code"] == "ok" and "cjk" not in row["tags"]
        for phrase, page in zip(row["must_contain"].split(";"), row["phrase_pages"].split(";"), strict=True)
        if int(page) and (row["file"], phrase) not in UNREADABLE_FOR_PYPDF and "arabic" not in row["file"]
        if not contains(readings[row["file"]]["pages"][int(page) - 1], phrase)
    ]
    assert wrong == []


def test_page_counts(rows: list[Row], readings: dict[str, Reading]) -> None:
    wrong = [
        row["file"]
        for row in rows
        if row["format"] == "pdf" and row["pages"] and readings[row["file"]]["code"] == "ok"
        if len(readings[row["file"]]["pages"]) != int(row["pages"])
    ]
    assert wrong == []


def test_chunks_are_where_they_say(readings: dict[str, Reading]) -> None:
    for file, reading in readings.items():
        text = "\n\n".join(reading.get("pages", []))
        for index, (number, page, start, end, chunk, tokens) in enumerate(reading.get("chunks", [])):
            assert (number, text[start:end]) == (index, chunk), file
            assert 0 < tokens <= 500, file
            assert chunk in reading["pages"][page - 1], file


def test_word_documents_with_their_extras(
    rows: list[Row], readings: dict[str, Reading], contains: Callable[[str, str], bool]
) -> None:
    """Headers, footnotes, text boxes, comments and tracked insertions are there, deletions and scripts are not."""
    wrong = [
        (row["file"], phrase)
        for row in rows
        for column, wanted in (("features", True), ("must_not_contain", False))
        for phrase in filter(None, row[column].split(";"))
        if contains("\n".join(readings[row["file"]]["pages"]), phrase.partition("=")[2]) is not wanted
    ]
    assert wrong == []
