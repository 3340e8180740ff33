"""Text, Markdown, web pages and tables."""

from pathlib import Path

import pytest

from documents.errors import TooComplex
from documents.parsers import ParsedDocument, parser_for


def _parse(path: Path, format_name: str) -> ParsedDocument:
    parser = parser_for(format_name)
    assert parser
    return parser.parse(path, lambda done, total: None)


def _parse_text(folder: Path, text: str, format_name: str) -> ParsedDocument:
    path = folder / "file"
    path.write_text(text, encoding="utf-8", newline="")
    return _parse(path, format_name)


def test_text(samples: Path) -> None:
    document = _parse(samples / "meeting-minutes.txt", "txt")
    assert document.pages == [(samples / "meeting-minutes.txt").read_text()]


def test_form_feeds_end_paragraphs(tmp_path: Path) -> None:
    assert _parse_text(tmp_path, "one\ftwo", "txt").pages == ["one\n\ntwo"]


def test_markdown_keeps_its_marks_and_its_title(samples: Path) -> None:
    document = _parse(samples / "notes.md", "md")
    assert document.metadata == {"title": "Sales meeting, 6 October 2025"}
    assert "| August    | 205            | 300           |" in document.pages[0]


def test_a_web_page_without_scripts_and_navigation(samples: Path) -> None:
    document = _parse(samples / "policy.html", "html")
    text = document.pages[0]
    assert document.metadata == {"title": "Return and warranty policy"}
    assert "Credit card | 3 working days\nInvoice | 7 working days" in text
    assert "within 30 days of delivery" in text
    for unseen in ("trackVisit", "font-family", "Careers", "Draft"):
        assert unseen not in text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>un<b>break</b>able</p>", "unbreakable"),
        ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<pre>def f():\n    return 1</pre>", "def f():\n    return 1"),
        ("<table><tr><td>a<td><p>b</p><td></td></tr><tr><td>c</table>", "a | b\nc"),
        ("<p>a &lt; b &amp; c</p><!-- not this -->", "a < b & c"),
        ("a<style>x{}</style>b<template>c</template>", "ab"),
        ("", ""),
    ],
)
def test_web_page_layout(tmp_path: Path, source: str, text: str) -> None:
    assert _parse_text(tmp_path, source or " ", "html").pages == [text]


@pytest.mark.parametrize(
    "declaration",
    [
        '<meta charset="shift_jis">',
        "<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'>",
        '<?xml version="1.0" encoding="shift_jis"?>',
        "<!--" + "x" * 5_000 + '--><meta charset="shift_jis">',
    ],
)
def test_a_web_page_names_its_encoding(tmp_path: Path, declaration: str) -> None:
    (tmp_path / "file").write_bytes(f"{declaration}<p>契約</p>".encode("shift_jis"))
    assert _parse(tmp_path / "file", "html").pages == ["契約"]


def test_a_web_page_that_is_too_deep(tmp_path: Path) -> None:
    with pytest.raises(TooComplex):
        _parse_text(tmp_path, "<div>" * 20_000, "html")


def test_many_unclosed_items_are_not_deep(tmp_path: Path) -> None:
    assert _parse_text(tmp_path, "<ul>" + "<li>x<br>" * 10_000, "html").pages[0].count("x") == 10_000


def test_a_table_with_its_rows(samples: Path) -> None:
    document = _parse(samples / "contacts.csv", "csv")
    assert document.rows
    assert document.rows[0]
    assert len(document.rows[0]) == 13
    assert document.rows[0][10][:2] == ["Jakub Nowak", "Światło, Nowak i Syn"]
    assert "Eva Jansen | Polder Marine | Utrecht | North | 7 | 188200 | 2025-09-25" in document.pages[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (["name", "price, net"], ["lamp", "3"], ["wick", "1"]))
    text = text.replace("price, net", '"price, net"')
    assert _parse_text(tmp_path, text, "csv").rows == [[["name", "price, net"], ["lamp", "3"], ["wick", "1"]]]


def test_cells_with_line_breaks_and_blank_rows(tmp_path: Path) -> None:
    document = _parse_text(tmp_path, 'a,"two\r\nlines"\r\n,\r\n\r\nb,c\r\n', "csv")
    assert document.pages == ["a | two lines\nb | c"]
    assert document.rows == [[["a", "two\nlines"], ["b", "c"]]]


def test_one_column(tmp_path: Path) -> None:
    assert _parse_text(tmp_path, "name\nlamp\n", "csv").rows == [[["name"], ["lamp"]]]
