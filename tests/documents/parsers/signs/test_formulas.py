"""Formulas as a line of text, in Word, PowerPoint, web pages, books and OpenDocument."""

from pathlib import Path
from zipfile import ZipFile

import pytest
from lxml import etree

from documents.parsers.signs.formulas import formula_text, part_of, tex_text
from documents.parsers.web.html import read_html
from tests.documents.parsers.parsing import parse
from tests.support import builder

M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def _run(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def _omml(content: str) -> str:
    return formula_text(part_of(etree.fromstring(f"<m:oMath {M}>{content}</m:oMath>")))


def _text(path: Path) -> str:
    return "\n".join(parse(path).pages)


FRACTION = f"<m:f><m:num>{_run('12')}</m:num><m:den>{_run('34')}</m:den></m:f>"
ROWS = "".join(f"<m:mr><m:e>{_run(a)}</m:e><m:e>{_run(b)}</m:e></m:mr>" for a, b in ("12", "34"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (FRACTION, "12/34"),
        (_run("1") + FRACTION, "1 12/34"),
        (f"<m:f><m:num>{_run('a+b')}</m:num><m:den>{_run('cd')}</m:den></m:f>", "(a+b)/(cd)"),
        (f"<m:rad><m:deg/><m:e>{_run('16')}</m:e></m:rad>", "√(16)"),
        (f"{_run('y')}<m:rad><m:deg>{_run('3')}</m:deg><m:e>{_run('8')}</m:e></m:rad>", "y ³√(8)"),
        (f"<m:sSup><m:e>{_run('x')}</m:e><m:sup>{_run('2')}</m:sup></m:sSup>{_run('y')}", "x^2 y"),
        (f"<m:sSup><m:e>{_run('x')}</m:e><m:sup>{_run('n+1')}</m:sup></m:sSup>", "x^(n+1)"),
        (f"<m:sSub><m:e>{_run('x')}</m:e><m:sub>{_run('i')}</m:sub></m:sSub>", "x_i"),
        (f"<m:sSubSup><m:e>{_run('x')}</m:e><m:sub>{_run('1')}</m:sub><m:sup>{_run('2')}</m:sup></m:sSubSup>", "x_1^2"),
        (
            f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{_run("i=1")}</m:sub><m:sup>{_run("n")}</m:sup>'
            f"<m:e>{_run('i')}</m:e></m:nary>",
            "∑_(i=1)^n i",
        ),
        (f"<m:d><m:e>{_run('a')}</m:e></m:d>", "(a)"),
        (f'<m:d><m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr><m:e>{_run("a")}</m:e></m:d>', "[a]"),
        (f"<m:d><m:e><m:m>{ROWS}</m:m></m:e></m:d>", "(1, 2; 3, 4)"),
        (f"<m:m>{ROWS}</m:m>", "[1, 2; 3, 4]"),
        (f"<m:func><m:fName>{_run('sin')}</m:fName><m:e>{_run('x')}</m:e></m:func>", "sin x"),
        (f'<m:acc><m:accPr><m:chr m:val="⃗"/></m:accPr><m:e>{_run("v")}</m:e></m:acc>', "v⃗"),
    ],
)
def test_office_formulas(content: str, text: str) -> None:
    assert _omml(content) == text


def test_a_formula_in_a_word_document(tmp_path: Path) -> None:
    body = f"<w:p {M}><w:r><w:t>Ratio 1</w:t></w:r><m:oMath>{FRACTION}</m:oMath><w:r><w:t>cup</w:t></w:r></w:p>"
    assert _text(builder.write_docx(tmp_path / "a.docx", body)) == "Ratio 1 12/34 cup"


def test_text_that_looks_like_a_formula_is_not_torn_apart(tmp_path: Path) -> None:
    """Word splits words into runs wherever it has checked the spelling."""
    runs = "".join(f"<w:r><w:t>{text}</w:t></w:r>" for text in ("file_na", "me, 12/0", "3/2024"))
    assert _text(builder.write_docx(tmp_path / "a.docx", f"<w:p>{runs}</w:p>")) == "file_name, 12/03/2024"


def test_a_formula_on_a_slide(tmp_path: Path) -> None:
    math = f"<a:p><a:r><a:t>Ratio </a:t></a:r><m:oMath {M}>{FRACTION}</m:oMath></a:p>"
    slide = builder.slide(builder.shape("x").replace(builder.paragraphs("x"), math))
    path = builder.write_pptx(tmp_path / "a.pptx", {"ppt/slides/slide2.xml": slide})
    assert "Ratio 12/34" in _text(path)


MATHML = "<mrow><mn>1</mn><mfrac><mn>12</mn><mn>34</mn></mfrac><mo>+</mo><msqrt><mi>x</mi></msqrt></mrow>"
SHOWN = "1 12/34+√(x)"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (MATHML, SHOWN),
        (f"<semantics>{MATHML}<annotation encoding='application/x-tex'>\\frac</annotation></semantics>", SHOWN),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac>", "(a+b)/c"),
        ("<mroot><mn>8</mn><mn>3</mn></mroot>", "³√(8)"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mi>y</mi>", "x^2 y"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover>", "∑_i^n"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a, b)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", "[1, 2]"),
        ("<mi>a</mi><mo>&#x2062;</mo><mi>b</mi>", "ab"),
        ("<mi>the</mi><mi>quick</mi><mi>a</mi><mi>b</mi>", "the quick ab"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", "x̅"),
    ],
)
def test_formulas_in_web_pages(content: str, text: str) -> None:
    assert read_html(f"<p>So <math>{content}</math></p>").text == f"So {text}"


TEX = r"{\displaystyle E=mc^{2}}"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            f'<span><i style="display: none"><math>{MATHML}</math></i><img aria-hidden="true" alt="{TEX}"></span>',
            SHOWN,
        ),
        (f'<img alt="{TEX}">', "E=mc^{2}"),
        ('<img class="tex" alt="a_1">', "a_1"),
        ('<img alt="y = 3x + 1">', "y = 3x + 1"),
        ('<img alt="A red fire engine">', ""),
        ('<span class="katex"><math><mi>x</mi></math></span><span aria-hidden="true">x</span>', "x"),
        ('<div style="display:none">An answer <math><mi>x</mi></math></div>', ""),
    ],
)
def test_formulas_that_a_picture_shows(html: str, text: str) -> None:
    assert read_html(f"<p>So {html}</p>").text == f"So {text}".strip()


def test_a_formula_in_a_book(tmp_path: Path) -> None:
    """Books may write the names of MathML with a prefix."""
    math = "<m:math><m:mfrac><m:mn>12</m:mn><m:mn>34</m:mn></m:mfrac></m:math>"
    path = builder.write_epub(tmp_path / "a.epub", {"a.xhtml": f"<p>Ratio {math}, 10<sup>6</sup></p>"})
    assert _text(path) == "Ratio 12/34, 10⁶"


def test_a_formula_of_opendocument(tmp_path: Path) -> None:
    """It is a separate file, and part of the sentence that holds its frame."""
    frame = '<draw:frame><draw:object xmlns:xlink="l" xlink:href="./Object 1"/></draw:frame>'
    path = builder.write_opendocument(tmp_path / "a.odt", "text", f"<text:p>Ratio {frame} it is</text:p>")
    with ZipFile(path, "a") as archive:
        annotation = "<annotation encoding='StarMath 5.0'>1 {12} over {34}</annotation>"
        archive.writestr("Object 1/content.xml", f"<math xmlns='m'><semantics>{MATHML}{annotation}</semantics></math>")
    assert _text(path) == f"Ratio {SHOWN} it is"


def test_a_deep_formula_is_read_as_text() -> None:
    content = "<m:d><m:e>" * 70 + _run("x") + "</m:e></m:d>" * 70
    assert "x" in _omml(content)


def test_tex_without_its_looks() -> None:
    assert tex_text(TEX) == "E=mc^{2}"
    assert tex_text(r"{a}{b}") == "{a}{b}"
