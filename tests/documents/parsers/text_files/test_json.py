from pathlib import Path

import pytest

from documents.errors import TooComplex
from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse, written


def test_json_as_people_read_it(samples: Path) -> None:
    text = parse(samples / "orders.json").pages[0]
    assert text.startswith("customer:\n  name: Polder Marine\n  city: Utrecht\n  since: 2019\n  isActive: true\n")
    assert "  tags: harbour, café\n" in text
    assert "    article: brass lantern\n    quantity: 40\n" in text


def test_json_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"a": 1}\n{"a": [true, {"b": null}]}\n')
    assert parse(path, "json").pages[0].split() == ["a:", "1", "a:", "-", "true", "b:", "null"]


def test_broken_json_is_text_with_a_warning(tmp_path: Path) -> None:
    document = parse(written(tmp_path, "a.json", '{"name": "lam'))
    assert document.pages == ['{"name": "lam']
    assert "line 1 column 10" in document.warnings[0]


def test_numbers_in_json_stay_as_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", f'{{"a": 1.50, "b": 1e400, "c": {"9" * 5_000}, "d": [1.0, true]}}')
    assert parse(path).pages == [f"a: 1.50\nb: 1e400\nc: {'9' * 5_000}\nd: 1.0, true"]


def test_deep_json_is_too_complex(tmp_path: Path) -> None:
    with pytest.raises(TooComplex):
        read(written(tmp_path, "a.json", "[" * 100_000 + "]" * 100_000), "a.json")
