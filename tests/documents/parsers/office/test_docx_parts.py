"""Word documents made by hand, with parts that no library writes."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from documents.errors import Corrupt, TooComplex
from documents.parsers import ParsedDocument
from documents.parsers.office.docx import DocxParser
from tests.support.builder import W, rels, word, write_docx, write_zip

A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
CHART = f"<c:chart xmlns:c='c' {A}><a:p><a:r><a:t>Lamps by month</a:t></a:r></a:p></c:chart>"


def _parse(path: Path) -> ParsedDocument:
    return DocxParser().parse(path, lambda done, total: None)


def _row(*cells: str, properties: str = "") -> str:
    return f"<w:tr>{properties}{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"


def _span(columns: int) -> str:
    return f'<w:tcPr><w:gridSpan w:val="{columns}"/></w:tcPr>'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:sdt><w:sdtPr/><w:sdtContent>{word('controlled')}</w:sdtContent></w:sdt>", "controlled"),
        (word("secret", run_properties="<w:rPr><w:vanish/></w:rPr>") + word("seen"), "seen"),
        (word("seen", run_properties='<w:rPr><w:vanish w:val="0"/></w:rPr>'), "seen"),
        ("<w:p><w:ruby><w:rt><w:t>kan</w:t></w:rt><w:rubyBase><w:t>漢</w:t></w:rubyBase></w:ruby></w:p>", "漢"),
        ("<w:p><w:r><w:instrText> PAGE </w:instrText></w:r><w:fldSimple><w:t>5</w:t></w:fldSimple></w:p>", "5"),
        ("<w:p><w:hyperlink><w:t>a link</w:t></w:hyperlink></w:p>", "a link"),
        ("<w:p><w:moveTo><w:t>here</w:t></w:moveTo><w:moveFrom><w:t>there</w:t></w:moveFrom></w:p>", "here"),
        (f"<w:tbl>{_row(word('gone'), properties='<w:trPr><w:del/></w:trPr>')}{_row(word('kept'))}</w:tbl>", "kept"),
        (f"<w:tbl>{_row(_span(2) + word('a'), word('b'))}</w:tbl>", "a |  | b"),
        (f"<w:tbl>{_row(_span(9999) + word('a'))}</w:tbl>", "a" + " | " * 62),
    ],
)
def test_the_text_that_a_reader_sees(tmp_path: Path, body: str, text: str) -> None:
    assert _parse(write_docx(tmp_path / "a.docx", body)).pages[0].strip() == text.strip()


def test_a_missing_or_damaged_part_costs_that_part(tmp_path: Path) -> None:
    """Word opens such files, too."""
    notes = f"<w:footnotes {W}><w:footnote>{word('At the foot.')}</w:footnote></w:footnotes>"
    path = write_docx(
        tmp_path / "a.docx",
        word("text"),
        ("image", "media/image1.png", ""),
        ("header", "header1.xml", ""),
        ("comments", "comments.xml", "<w:comments"),
        ("footnotes", "footnotes.xml", notes),
    )
    document = _parse(path)
    assert document.pages == ["text\n\nAt the foot."]
    assert [warning.split(")")[0] for warning in document.warnings] == [
        "A part of the file (word/header1.xml",
        "A part of the file (word/comments.xml",
    ]


def test_properties_that_expand_like_an_attack(tmp_path: Path) -> None:
    names = zip("abcdefgh", "bcdefghi", strict=True)
    entities = "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in names)
    links = rels(("1", "officeDocument", "word/document.xml"), ("2", "core-properties", "core.xml"))
    with ZipFile(write_docx(tmp_path / "a.docx", word("text"))) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    parts |= {"_rels/.rels": links, "core.xml": f'<!DOCTYPE l [<!ENTITY a "lol">{entities}]><l>&i;</l>'}
    path = write_zip(tmp_path / "b.docx", parts)
    with pytest.raises(TooComplex):
        _parse(path)


def test_a_damaged_main_part_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        _parse(write_docx(tmp_path / "a.docx", "<w:p>"))


def test_charts_are_read_at_their_place(tmp_path: Path) -> None:
    drawing = '<w:p><w:drawing><c:chart xmlns:c="c" r:id="rId1"/></w:drawing></w:p>'
    body = word("before") + drawing + word("after")
    assert _parse(write_docx(tmp_path / "a.docx", body, ("chart", "charts/chart1.xml", CHART))).pages == [
        "before\n\nLamps by month\n\nafter"
    ]


def test_a_chart_is_read_once_however_often_it_is_drawn(tmp_path: Path) -> None:
    drawing = '<w:p><w:drawing><c:chart xmlns:c="c" r:id="rId1"/></w:drawing></w:p>'
    body = drawing * 3 + word("After")
    found = _parse(write_docx(tmp_path / "a.docx", body, ("chart", "charts/chart1.xml", CHART))).pages
    assert found == ["Lamps by month\n\nAfter"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chunk.htm", "<style>p {}</style><p>From a page</p>"),
        ("chunk.mht", 'Content-Type: multipart/related; boundary="b"\n\n--b\nContent-Type: text/html\n\nFrom a page\n'),
        ("chunk.txt", "From a page"),
    ],
)
def test_what_other_programs_leave_to_word(tmp_path: Path, name: str, content: str) -> None:
    body = '<w:altChunk r:id="rId1"/>' + word("after")
    assert _parse(write_docx(tmp_path / "a.docx", body, ("aFChunk", name, content))).pages == ["From a page\n\nafter"]


def test_what_cannot_be_read_for_word_is_a_warning(tmp_path: Path) -> None:
    body = '<w:altChunk r:id="rId1"/>' + word("after")
    document = _parse(write_docx(tmp_path / "a.docx", body, ("aFChunk", "chunk.rtf", "{\\rtf1}")))
    assert document.pages == ["after"]
    assert "word/chunk.rtf" in document.warnings[0]


def _level(place: int, pattern: str, numerals: str = "decimal", start: int = 1, style: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return (
        f'<w:lvl w:ilvl="{place}"><w:start w:val="{start}"/><w:numFmt w:val="{numerals}"/>{named}'
        f'<w:lvlText w:val="{pattern}"/></w:lvl>'
    )


def _numbering(*levels: str, override: str = "") -> tuple[str, str, str]:
    """Returns lists 1 and 2 of the same kind. The second has the override."""
    lists = "".join(
        f'<w:num w:numId="{id}"><w:abstractNumId w:val="0"/>{override if id == 2 else ""}</w:num>' for id in (1, 2)
    )
    content = f'<w:numbering {W}><w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>{lists}'
    return "numbering", "numbering.xml", f"{content}</w:numbering>"


def _item(text: str, level: int = 0, number: int = 1) -> str:
    numbering = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
    return word(text, f"<w:pPr>{numbering}</w:pPr>")


def _lines(folder: Path, body: str, *beside: tuple[str, str, str]) -> list[str]:
    return _parse(write_docx(folder / "a.docx", body, *beside)).pages[0].split("\n\n")


def test_numbers_of_lists(tmp_path: Path) -> None:
    numbering = _numbering(_level(0, "%1."), _level(1, "%1.%2", "lowerLetter", start=2), _level(2, "•", "bullet"))
    items = [_item("one"), _item("deep", 1), _item("deeper", 1), _item("dot", 2), _item("two"), _item("deep", 1)]
    assert _lines(tmp_path, "".join(items) + word("none"), numbering) == [
        "1. one", "1.b deep", "1.c deeper", "dot", "2. two", "2.b deep", "none"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "number"),
    [
        ("", "II)"),
        ('<w:lvlOverride w:ilvl="0"><w:startOverride w:val="9"/></w:lvlOverride>', "IX)"),
        (f'<w:lvlOverride w:ilvl="0">{_level(0, "Article %1")}</w:lvlOverride>', "Article 2"),
    ],
)
def test_lists_of_one_kind_share_numbers_without_an_override(tmp_path: Path, override: str, number: str) -> None:
    numbering = _numbering(_level(0, "%1)", "upperRoman"), override=override)
    body = _item("one") + _item("other", number=2)
    assert _lines(tmp_path, body, numbering) == ["I) one", f"{number} other"]


def test_styles_bring_numbers_too(tmp_path: Path) -> None:
    numbering = _numbering(_level(0, "%1", style="Heading1"), _level(1, "%1.%2", style="Heading2"))
    styles = (
        f"<w:styles {W}>"
        '<w:style w:styleId="Heading1"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:styleId="Heading2"><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr>'
        "</w:style>"
        '<w:style w:styleId="Mine"><w:basedOn w:val="Heading2"/></w:style>'
        '<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style></w:styles>'
    )
    named = '<w:pPr><w:pStyle w:val="{}"/></w:pPr>'
    body = "".join(word("x", named.format(style)) for style in ("Heading1", "Heading2", "Mine", "Loop", "Heading1"))
    without = word("x", '<w:pPr><w:pStyle w:val="Heading1"/><w:numPr><w:numId w:val="0"/></w:numPr></w:pPr>')
    assert _lines(tmp_path, body + without, numbering, ("styles", "styles.xml", styles)) == [
        "1 x", "1.1 x", "1.2 x", "x", "2 x", "x"
    ]  # fmt: skip
