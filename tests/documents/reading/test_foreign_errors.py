"""Exceptions that no parser expected: those of libraries are damage of the file, those of parsers are defects."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from documents import parsers
from documents.errors import Corrupt, NoText
from documents.parsers import ParsedDocument
from documents.reading.pipeline import read


class PanicException(BaseException):
    """The exception that a library in Rust raises. Its module does not exist."""


PanicException.__module__ = "pyo3_runtime"


class Probe:
    """A parser that calls a function."""

    formats = ("probe",)

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action

    def parse(self, path: Path, report: parsers.Report) -> ParsedDocument:
        return ParsedDocument([str(self.action())])


def _read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: Callable[[], Any]) -> dict[str, Any]:
    parsers.load_all()
    monkeypatch.setitem(parsers._registry, "probe", Probe(action))
    (tmp_path / "a.probe").write_text("text")
    return read(tmp_path / "a.probe", "a.probe")


def _panic() -> None:
    raise PanicException("called `Option::unwrap()` on a `None` value")


@pytest.mark.parametrize(
    "action",
    [
        _panic,
        lambda: etree.fromstring("<a"),
        lambda: zlib.decompress(b"x"),
        lambda: json.loads("{"),
        lambda: json.loads(b"\xff\xfe\xff"),
    ],
    ids=["rust", "lxml", "zlib", "json", "json-bytes"],
)
def test_an_error_of_a_library_is_damage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: Callable[[], Any]
) -> None:
    with pytest.raises(Corrupt) as raised:
        _read(monkeypatch, tmp_path, action)
    assert raised.value.message == Corrupt().message


def _missing() -> str:
    return Path("/nowhere/at/all").read_text()


def _title() -> object:
    lamp: dict[str, str] = {}
    return lamp["title"]


@pytest.mark.parametrize(
    ("action", "error"),
    [(_title, KeyError), (_missing, FileNotFoundError), (lambda: int("x"), ValueError)],
)
def test_a_defect_of_a_parser_keeps_its_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _read(monkeypatch, tmp_path, action)


def _blank() -> None:
    raise NoText()


def test_an_error_of_ours_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NoText):
        _read(monkeypatch, tmp_path, _blank)
