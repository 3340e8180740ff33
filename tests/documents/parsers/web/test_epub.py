from pathlib import Path

import pytest

from documents.errors import Encrypted
from tests.documents.parsers.parsing import parse
from tests.support import builder


def test_a_book_in_its_reading_order(tmp_path: Path) -> None:
    chapters = {"b.xhtml": "<html><body><h1>Two</h1></body></html>", "a.xhtml": "<p>One</p>"}
    document = parse(builder.write_epub(tmp_path / "a.epub", chapters))
    assert document.pages == ["One", "Two"]
    assert document.metadata == {"title": "On Lanterns", "author": "A. Wick"}


def test_the_notes_of_a_book(tmp_path: Path) -> None:
    """Notes are hidden until the reader opens them. Other hidden text is left out."""
    notes = '<aside epub:type="footnote" hidden=""><p>Of brass.</p></aside><aside hidden=""><p>Unseen</p></aside>'
    path = builder.write_epub(tmp_path / "a.epub", {"a.xhtml": f"<p>The lantern</p>{notes}"})
    assert parse(path).pages == ["The lantern\n\nOf brass."]


def test_a_missing_chapter_costs_that_chapter(tmp_path: Path) -> None:
    path = builder.write_epub(tmp_path / "a.epub", {"../../../etc/passwd": "<p>outside</p>", "a.xhtml": "<p>One</p>"})
    document = parse(path)
    assert document.pages == ["One", ""]
    assert document.warnings == ["Chapter 2 (../../etc/passwd) is missing or damaged."]


@pytest.mark.parametrize(("uri", "is_refused"), [("OPS/a.xhtml", True), ("OPS/font.otf", False)])
def test_a_book_with_copy_protection(tmp_path: Path, uri: str, is_refused: bool) -> None:
    encryption = {"META-INF/encryption.xml": f'<encryption><CipherReference URI="{uri}"/></encryption>'}
    path = builder.write_epub(tmp_path / "a.epub", {"a.xhtml": "<p>One</p>"}, dict(encryption))
    if not is_refused:
        assert parse(path).pages == ["One"]
        return
    with pytest.raises(Encrypted, match="DRM"):
        parse(path)
