"""Raised characters, and signs of symbol fonts, in every format."""

from pathlib import Path

import pytest

from documents.parsers.signs.symbol_fonts import symbols
from documents.parsers.web.html import read_html
from tests.documents.parsers.parsing import parse
from tests.support import builder


def _text(path: Path) -> str:
    return "\n".join(parse(path).pages)


@pytest.mark.parametrize(
    ("text", "font", "shown"),
    [
        ("\uf06d", "Symbol", "µ"),
        ("m", "Symbol", "µ"),
        ("\uf06d", "", "µ"),
        ("m", "", "m"),
        ("m", "Arial", "m"),
        ("\uf0fe", "Wingdings", "☑"),
        ("\uf0fc", "wingdings", "✓"),
        ("\uf050", "Wingdings 2", "✓"),
        ("\uf061", "Webdings", "✓"),
        ("\uf0a3\uf0b3\uf0b1\uf0b0", "Symbol", "≤≥±°"),
        ("\uf099", "Wingdings 2", "○"),
        ("\uf101", "FontAwesome", "\uf101"),
        ("≤", "Symbol", "≤"),
    ],
)
def test_signs_of_symbol_fonts(text: str, font: str, shown: str) -> None:
    assert symbols(text, font) == shown


def _run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


RAISED = '<w:vertAlign w:val="superscript"/>'


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (_run("10") + _run("6", RAISED) + _run(" cells"), "10⁶ cells"),
        (_run("revenue") + _run("1", '<w:rStyle w:val="Mark"/>'), "revenue¹"),
        (_run("revenue") + _run("1", '<w:rStyle w:val="Mark"/><w:vertAlign w:val="baseline"/>'), "revenue1"),
        (_run("revenue") + _run("1", '<w:position w:val="6"/>'), "revenue¹"),
        (_run("H") + _run("2", '<w:vertAlign w:val="subscript"/>') + _run("O"), "H2O"),
        (_run("10 ") + _run("m", '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>') + _run("g"), "10 µg"),
        (_run("10 ") + _run("\uf06d", '<w:rFonts w:ascii="Symbol"/>') + _run("g"), "10 µg"),
        (_run("10 ") + '<w:r><w:sym w:font="Symbol" w:char="F06D"/></w:r>' + _run("g"), "10 µg"),
        ('<w:r><w:sym w:font="Wingdings" w:char="00FE"/></w:r>' + _run(" agreed"), "☑ agreed"),
        ('<w:r><w:sym w:font="Arial" w:char="03B1"/><w:sym w:char="x"/></w:r>', "α"),
        (_run("\uf061", ""), "α"),
    ],
)
def test_word(tmp_path: Path, runs: str, text: str) -> None:
    styles = (
        f'<w:styles {builder.W}><w:style w:styleId="Raised"><w:rPr>{RAISED}</w:rPr></w:style>'
        '<w:style w:styleId="Mark"><w:basedOn w:val="Raised"/></w:style></w:styles>'
    )
    path = builder.write_docx(tmp_path / "a.docx", f"<w:p>{runs}</w:p>", ("styles", "styles.xml", styles))
    assert _text(path) == text


def test_slides(tmp_path: Path) -> None:
    runs = (
        '<a:p><a:r><a:t>10</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>6</a:t></a:r><a:r><a:t> H</a:t></a:r>'
        '<a:r><a:rPr baseline="-25000"/><a:t>2</a:t></a:r><a:r><a:t>O, 10 </a:t></a:r>'
        '<a:r><a:rPr><a:latin typeface="Symbol"/></a:rPr><a:t>m</a:t></a:r><a:r><a:t>g</a:t></a:r></a:p>'
    )
    slide = builder.slide(builder.shape("x").replace(builder.paragraphs("x"), runs))
    path = builder.write_pptx(tmp_path / "a.pptx", {"ppt/slides/slide2.xml": slide})
    assert "10⁶ H2O, 10 µg" in _text(path)


def test_workbooks(tmp_path: Path) -> None:
    cell = (
        '<row><c t="inlineStr"><is><r><t>10</t></r><r><rPr><vertAlign val="superscript"/></rPr><t>6</t></r>'
        '<r><t xml:space="preserve"> 10 </t></r><r><rPr><rFont val="Symbol"/></rPr><t>m</t></r><r><t>g</t></r>'
        "<rPh><t>ten</t></rPh></is></c></row>"
    )
    sheet = builder.sheet([]).replace("<sheetData>", f"<sheetData>{cell}")
    assert _text(builder.write_xlsx(tmp_path / "a.xlsx", {"A": sheet})) == "A\n10⁶ 10 µg"


@pytest.mark.parametrize("position", ["super 58%", "33% 58%"])
def test_opendocument(tmp_path: Path, position: str) -> None:
    styles = (
        f'<style:style style:name="Up"><style:text-properties style:text-position="{position}"/></style:style>'
        '<style:style style:name="T1" style:parent-style-name="Up"/>'
        '<style:style style:name="T2"><style:text-properties style:text-position="sub 58%"/></style:style>'
        '<style:style style:name="T3"><style:text-properties style:font-name="S"/></style:style>'
        "<style:font-face style:name='S' xmlns:svg='svg' svg:font-family=\"'Symbol'\"/>"
    )
    span = '<text:span text:style-name="{}">{}</text:span>'.format
    body = f"<text:p>10{span('T1', '6')} H{span('T2', '2')}O, 10 {span('T3', 'm')}g</text:p>"
    assert _text(builder.write_opendocument(tmp_path / "a.odt", "text", body, styles)) == "10⁶ H2O, 10 µg"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>6</sup> H<sub>2</sub>O", "10⁶ H2O"),
        ('revenue<sup><a href="#n">1</a></sup> rose', "revenue¹ rose"),
        ('10<span style="font-size: 60%; vertical-align: super">6</span>', "10⁶"),
        ('revenue<a role="doc-noteref" href="#n">1</a>', "revenue¹"),
        ('revenue<a epub:type="noteref" href="#n"><sup>1</sup></a>', "revenue¹"),
        ("word<sup>[1]</sup>, 1<sup>st</sup>", "word[1], 1st"),
        ("<sup><sup>6</sup></sup>", "⁶"),
        ("a<sup>b", "a^b"),
        ('10 <font face="Symbol">m</font>g', "10 µg"),
        ("<span style=\"color:red; font-family: 'Wingdings'\">&#xfe;</span> yes", "☑ yes"),
    ],
)
def test_web_pages(html: str, text: str) -> None:
    assert read_html(f"<p>{html}</p>").text == text


def test_markdown(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("10<sup>6</sup> of H<sub>2</sub>O")
    assert _text(tmp_path / "a.md") == "10⁶ of H2O"


def test_xml(tmp_path: Path) -> None:
    """Articles of publishers (JATS) have formulas in MathML."""
    math = '<mml:math xmlns:mml="m"><mml:mfrac><mml:mn>12</mml:mn><mml:mn>34</mml:mn></mml:mfrac></mml:math>'
    (tmp_path / "a.xml").write_text(f"<article><p>10<sup>6</sup> of H<sub>2</sub>O, ratio {math}.</p></article>")
    assert _text(tmp_path / "a.xml") == "10⁶ of H2O, ratio 12/34."
