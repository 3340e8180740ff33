from pathlib import Path

from tests.documents.parsers.parsing import parse


def test_markdown_keeps_its_marks_and_its_title(samples: Path) -> None:
    document = parse(samples / "notes.md", "md")
    assert document.metadata == {"title": "Sales meeting, 6 October 2025"}
    assert "| August    | 205            | 300           |" in document.pages[0]
