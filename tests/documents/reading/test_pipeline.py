import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from documents import parsers
from documents.errors import DocumentError, NoText, TooComplex, UnsupportedType
from documents.parsers import ParsedDocument, Report, parser_for, register
from documents.reading import pipeline
from documents.reading.pipeline import preload, read, read_in_child, storable

SAMPLE_NAMES = [
    "catalogue.xml",
    "cleaning.rtf",
    "contacts.csv",
    "delivery.eml",
    "meeting-minutes.txt",
    "notes.md",
    "orders.json",
    "policy.html",
    "quarterly-sales-report.pdf",
    "service-contract.docx",
]


class IcsParser:
    formats = ("ics",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        raise MemoryError


class OtherIcsParser(IcsParser):
    pass


@pytest.fixture
def registry() -> Iterator[None]:
    parsers.load_all()
    known = dict(parsers._registry)
    yield
    parsers._registry.clear()
    parsers._registry.update(known)


def test_a_first_document_is_read_before_there_are_children() -> None:
    found = []
    with patch.object(pipeline, "read", side_effect=lambda *given: found.append(read(*given))):
        preload()
    assert [document["pages"] for document in found] == [["The first document of all."]]


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_it_works(samples: Path, name: str) -> None:
    result = read(samples / name, name)
    assert result["fileType"] == Path(name).suffix.removeprefix(".")
    assert result["wordCount"] > 90
    assert result["language"] == ("" if name == "contacts.csv" else "english")
    assert result["chunks"]
    assert (result["rows"] is not None) == (name == "contacts.csv")
    assert json.loads(json.dumps(result)) == result


def test_it_works_in_a_child(samples: Path, tmp_path: Path) -> None:
    name = "quarterly-sales-report.pdf"
    arguments = {"path": str(samples / name), "filename": name, "chunkSize": 100, "overlap": 20}
    progress: list[tuple[int, int]] = []
    summary = read_in_child(
        {**arguments, "output": str(tmp_path / "out.json")}, lambda done, total: progress.append((done, total))
    )
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert summary == {
        "fileType": "pdf",
        "pages": 3,
        "words": result["wordCount"],
        "chunks": len(result["chunks"]),
        "needsOcr": 0,
    }
    assert progress[-1] == (3, 3)
    assert {chunk[1] for chunk in result["chunks"]} == {1, 2, 3}
    assert all(chunk[5] <= 100 for chunk in result["chunks"])


def test_a_wrong_name_is_a_warning(samples: Path) -> None:
    result = read(samples / "quarterly-sales-report.pdf", "report.docx")
    assert result["fileType"] == "pdf"
    assert result["warnings"] == ["The name says a Word document, but this is a PDF. It was read as such."]


def test_blanks_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n" * 50)
    with pytest.raises(NoText):
        read(tmp_path / "a.txt", "a.txt")


def test_nuls_and_lone_surrogates_are_removed() -> None:
    assert storable("a\0b\ud800c\ud83d\ude00d\x08\te\n") == "abc😀d\te\n"


def test_escaped_surrogates_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"name,\0note\nlamp,\0new\n" * 100)
    result = read(tmp_path / "a.csv", "a.csv")
    assert "\0" not in json.dumps(result["rows"], ensure_ascii=False) + result["pages"][0]


@pytest.mark.usefixtures("registry")
def test_out_of_memory_is_too_complex(tmp_path: Path) -> None:
    register(IcsParser())
    (tmp_path / "a.ics").write_text("BEGIN:VCALENDAR")
    with pytest.raises(TooComplex):
        read(tmp_path / "a.ics", "a.ics")


@pytest.mark.usefixtures("registry")
def test_two_parsers_for_a_format_are_an_error() -> None:
    register(IcsParser())
    register(IcsParser())
    with pytest.raises(ValueError, match="two parsers read ics"):
        register(OtherIcsParser())


def test_a_format_without_a_parser(tmp_path: Path) -> None:
    assert parser_for("rar") is None
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07")
    with pytest.raises(UnsupportedType):
        read(tmp_path / "a.rar", "a.rar")


def test_every_error_says_what_to_do() -> None:
    for error in DocumentError.__subclasses__():
        assert error().message == error.__doc__
        assert error.code != DocumentError.code
        assert ":" in error().message


def test_the_pipeline_needs_no_django() -> None:
    code = (
        "import sys, documents.reading.pipeline; sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
