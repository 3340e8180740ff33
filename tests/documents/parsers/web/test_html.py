from pathlib import Path
from unittest.mock import patch

import pytest
from selectolax.lexbor import SelectolaxError

from documents.errors import TooComplex, TooLarge
from documents.parsers.web import html
from tests.documents.parsers.parsing import parse, parse_text

LONG = "long " * 60 + "cell"


def test_a_web_page_without_scripts_and_navigation(samples: Path) -> None:
    document = parse(samples / "policy.html", "html")
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
        ("<table><tr><td>Wick<td><td>1<tr><td>Lamp<td>brass<td>2</table>", "Wick |  | 1\nLamp | brass | 2"),
        ("<table><tr><td>Wick<td> <td>1<tr><td colspan=2>Lamp<td>2</table>", "Wick | 1\nLamp | 2"),
        (
            "<table><tr><th colspan=2>a<th>b<tr><td rowspan=2>c<td>d<td>e<tr><td>f<td>g</table>",
            "a |  | b\nc | d | e\n| f | g",
        ),
        ("<table><tr><td rowspan=9>a<td>b<tbody><tr><td>c<td>d<tr><td>e<td>f</table>", "a | b\n| c | d\n| e | f"),
        ("<table><tr><td><p>a</p><p>b</p><td>c</table>", "a b | c"),
        (f"<table><tr><td><p>{LONG}</p><p>b</p><td>c</table>", f"{LONG}\n\nb\n\nc"),
        ("<ol><li>a<ol type=a start=3><li>x</ol><li value=7>b</ol>", "1. a\n\nc. x\n\n7. b"),
        ("<ol reversed type=I><li>a<li>b</ol>", "II. a\nI. b"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字", "漢字"),
        ("<body hidden style='visibility:hidden'><p style='visibility: hidden'>a</p>b", "b"),
        ("<address>a</address>b<center>c</center>d", "a\nb\n\nc\n\nd"),
        ("<p>a &lt; b &amp; c</p><!-- not this -->", "a < b & c"),
        ("a<style>x{}</style>b<template>c</template>", "ab"),
        ("", ""),
    ],
)
def test_web_page_layout(tmp_path: Path, source: str, text: str) -> None:
    assert parse_text(tmp_path, source or " ", "html").pages == [text]


@pytest.mark.parametrize(
    ("source", "is_kept"),
    [
        ("<div id=nav><a href=x>Home</a> <a href=y>About</a></div>", False),
        ("<ul class='site-menu wide'><li><a href=x>Home</a></ul>", False),
        ("<div class=nav-wrapper><a href=x>Home</a> and a page that is wrapped by it</div>", True),
        ("<ul class=chapters><li><a href=x>Home</a></ul>", True),
        ("<div class=navy>Home</div>", True),
    ],
)
def test_navigation_by_its_name_and_its_links(tmp_path: Path, source: str, is_kept: bool) -> None:
    assert ("Home" in parse_text(tmp_path, f"{source}<p>text</p>", "html").pages[0]) == is_kept


def test_a_table_of_too_many_columns(tmp_path: Path) -> None:
    cells = "<td rowspan=9999 colspan=999>" * 500
    with pytest.raises(TooLarge, match="split it"):
        parse_text(tmp_path, f"<table><tr>{cells}{'<tr>' * 9_000}</table>", "html")


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
    assert parse(tmp_path / "file", "html").pages == ["契約"]


def test_a_web_page_that_is_too_deep(tmp_path: Path) -> None:
    with pytest.raises(TooComplex):
        parse_text(tmp_path, "<div>" * 20_000, "html")


def test_a_library_without_memory_is_too_complex(tmp_path: Path) -> None:
    with (
        patch.object(html, "LexborHTMLParser", autospec=True, side_effect=SelectolaxError("no selector")),
        pytest.raises(TooComplex),
    ):
        parse_text(tmp_path, "<p>x", "html")


def test_many_unclosed_items_are_not_deep(tmp_path: Path) -> None:
    assert parse_text(tmp_path, "<ul>" + "<li>x<br>" * 10_000, "html").pages[0].count("x") == 10_000
