from pathlib import Path

from tests.documents.parsers.parsing import parse, parse_text


def test_text(samples: Path) -> None:
    document = parse(samples / "meeting-minutes.txt", "txt")
    assert document.pages == [(samples / "meeting-minutes.txt").read_text()]


def test_form_feeds_end_paragraphs(tmp_path: Path) -> None:
    assert parse_text(tmp_path, "one\ftwo", "txt").pages == ["one\n\ntwo"]
