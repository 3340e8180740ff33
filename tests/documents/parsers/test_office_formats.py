"""Presentations, workbooks, OpenDocument, Rich Text and books."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers import ParsedDocument, parser_for, spreadsheets
from documents.reading.pipeline import read
from tests.support import builder


def _parse(path: Path, format_name: str = "") -> ParsedDocument:
    parser = parser_for(format_name or path.suffix.removeprefix("."))
    assert parser
    return parser.parse(path, lambda done, total: None)


def test_slides_in_their_order_with_tables_charts_and_notes(tmp_path: Path) -> None:
    document = _parse(builder.write_pptx(tmp_path / "a.pptx"))
    first, second = document.pages
    assert first == "Lantern sales\n\nUp by a tenth"
    assert second == (
        "Figures\n\nMonth | Lamps\nJuly | 310\n\nLamps by month\nBrass lantern\n\nDrawn\nlong ago\n\n"
        "Notes: Pause here for questions."
    )


def test_a_presentation_whose_relationships_lead_out_of_the_file(tmp_path: Path) -> None:
    """No external link is followed, as its target is not part of the document."""
    targets = ("../../../../etc/passwd", "file:///etc/passwd", "http://192.0.2.1/slide.xml")
    links = [(f"rId{place}", "slide", target) for place, target in enumerate(targets)]
    ids = "".join(f'<p:sldId r:id="{id}"/>' for id, _, _ in links)
    names = f'xmlns:p="x" xmlns:r="{builder.RELATIONSHIPS}"'
    path = builder.write_zip(
        tmp_path / "a.pptx",
        {
            **builder.package("ppt/presentation.xml", f"{builder.OFFICE}.presentationml.presentation.main+xml"),
            "ppt/presentation.xml": f"<p:presentation {names}>{ids}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": builder.rels(*links),
        },
    )
    with pytest.raises(Corrupt):
        _parse(path)


def test_a_missing_slide_costs_that_slide(tmp_path: Path) -> None:
    whole = builder.write_pptx(tmp_path / "a.pptx")
    with ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if not name.endswith("slide2.xml")}
    document = _parse(builder.write_zip(tmp_path / "b.pptx", dict(parts)))
    assert document.pages[0] == ""
    assert document.pages[1].startswith("Figures")
    assert document.warnings == ["Slide 1 (ppt/slides/slide2.xml) is missing or damaged."]


def test_sheets_are_pages_and_keep_their_columns(tmp_path: Path) -> None:
    orders = builder.sheet([["Article", "Sold", "Price"], [], ["Lamp", "40", "18.5"], ["Wick", "", "1.25"]])
    path = builder.write_xlsx(
        tmp_path / "a.xlsx", {"Orders": orders, "Empty": builder.sheet([]), "Old": builder.sheet([["gone"]])}
    )
    document = _parse(path)
    assert document.pages == ["Orders\nArticle | Sold | Price\nLamp | 40 | 18.5\nWick |  | 1.25", "", "Old\ngone"]
    assert document.rows == [
        [["Article", "Sold", "Price"], ["Lamp", "40", "18.5"], ["Wick", "", "1.25"]],
        [],
        [["gone"]],
    ]


def test_texts_outside_the_cells_of_a_workbook(tmp_path: Path) -> None:
    """They are on the page of their sheet. A missing part is a warning."""
    path = builder.write_xlsx(
        tmp_path / "a.xlsx", {"Stock": builder.sheet([["Lamp", "40"]]), "Empty": builder.sheet([])}
    )
    comment = '<comment ref="B1"><text><r><t>Count </t></r><r><t>again</t></r></text></comment>'
    parts = {
        "xl/worksheets/_rels/sheet1.xml.rels": builder.rels(
            ("r1", "comments", "../comments1.xml"), ("r2", "comments", "../comments2.xml")
        ),
        "xl/comments1.xml": f"<comments>{comment}</comments>",
        "xl/worksheets/_rels/sheet2.xml.rels": builder.rels(("r1", "drawing", "../drawings/drawing1.xml")),
        "xl/drawings/drawing1.xml": f'<d xmlns:a="a">{builder.paragraphs("In a box")}</d>',
        "xl/drawings/_rels/drawing1.xml.rels": builder.rels(("r1", "chart", "../charts/chart1.xml")),
        "xl/charts/chart1.xml": f'<c xmlns:a="a">{builder.paragraphs("Lamps by month")}</c>',
    }
    with ZipFile(path, "a") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    document = _parse(path)
    assert document.pages == ["Stock\nLamp | 40\nB1: Count again", "Empty\nIn a box\nLamps by month"]
    assert document.rows == [[["Lamp", "40"]], []]
    assert len(document.warnings) == 1
    assert "xl/comments2.xml" in document.warnings[0]


def test_damage_outside_the_cells_costs_those_texts_only(tmp_path: Path) -> None:
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"Stock": builder.sheet([["Lamp"]])})
    with ZipFile(path, "a") as archive:
        archive.writestr("xl/comments1.xml", "<comments/>")
        archive.writestr("xl/worksheets/_rels/sheet1.xml.rels", "<Relationships")
    document = _parse(path)
    assert document.pages == ["Stock\nLamp"]
    assert "comments" in document.warnings[0]


def test_a_workbook_of_opendocument(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    row = f"<table:table-row>{cell.format('Lamp')}{cell.format('brass')}</table:table-row>"
    path = builder.write_opendocument(
        tmp_path / "a.ods", "spreadsheet", f'<table:table table:name="Stock">{row}</table:table>'
    )
    assert _parse(path).rows == [[["Lamp", "brass"]]]


def test_comments_in_a_workbook_of_opendocument(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string">{}<text:p>Lamp</text:p></table:table-cell>'
    note = "<office:annotation><i xmlns='dc'>2025</i><text:p>Count <text:s/>again</text:p></office:annotation>"
    sheets = "".join(
        f'<table:table table:name="{name}"><table:table-row>{cell.format(inside)}</table:table-row></table:table>'
        for name, inside in (("Old", ""), ("Stock", note))
    )
    document = _parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", sheets))
    assert document.pages == ["Old\nLamp", "Stock\nLamp\nCount again"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.3"),
        ("4929123412341234", "4929123412341234"),
        ("12345678901234567890", "1.23456789012346e+19"),
        ("2.50", "2.5"),
    ],
)
def test_numbers_read_as_people_write_them(tmp_path: Path, value: str, text: str) -> None:
    assert _parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([[value]])})).rows == [[[text]]]


def test_a_table_without_its_end_is_corrupt(tmp_path: Path) -> None:
    """The library would search for it endlessly."""
    row = "<table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row>"
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", f'<table:table table:name="S">{row}')
    with pytest.raises(Corrupt):
        _parse(path)


def test_durations_and_blank_cells_at_the_end(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="time" office:time-value="PT30H05M07S"><text:p>30:05</text:p>'
    rows = [f"{cell}</table:table-cell><table:table-cell/>", f"{'<table:table-cell/>' * 2}{cell}</table:table-cell>"]
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    body = f'<table:table table:name="S">{body}</table:table>'
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)
    assert _parse(path).pages == ["S\n30:05\n |  | 30:05"]
    assert spreadsheets._cell_text(timedelta(hours=30, minutes=5, seconds=7)) == "30:05:07"


def test_a_workbook_of_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "MAX_CELLS", 5)
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([["a", "b", "c"]] * 2)})
    with pytest.raises(TooLarge, match="split it"):
        _parse(path)


def test_an_opendocument_text(tmp_path: Path) -> None:
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h>Heading</text:h>"
        "<text:p>Two<text:s text:c='2'/>blanks<text:tab/>and\n    a <text:span>note</text:span>"
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>At the foot.</text:p>"
        "</text:note-body></text:note>.</text:p>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p><text:p>b</text:p></table:table-cell>"
        "<table:table-cell><text:p>c</text:p></table:table-cell></table:table-row></table:table>"
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
    )
    styles = "<style:header><text:p>At the head</text:p></style:header>" * 2
    document = _parse(builder.write_opendocument(tmp_path / "a.odt", "text", body, styles))
    assert document.pages == ["At the head\n\nHeading\n\nTwo  blanks\tand a note.\n\nAt the foot.\n\na b | c\n\nitem"]


def test_numbers_in_an_opendocument_text(tmp_path: Path) -> None:
    """Items, also of a list that continues after a paragraph, and headings have numbers. Bullets have none."""
    styles = (
        '<text:outline-style><text:outline-level-style text:level="1" style:num-format="I" style:num-suffix="."/>'
        '</text:outline-style><text:list-style style:name="N">'
        '<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/>'
        '<text:list-level-style-number text:level="2" style:num-format="a" text:display-levels="2"/>'
        '</text:list-style><text:list-style style:name="B"><text:list-level-style-bullet text:level="1"/>'
        "</text:list-style>"
    )
    item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>"
    inner = f"<text:list>{item.format('Lens', '')}{item.format('Wick', '<text:p>of cotton</text:p>')}</text:list>"
    deleted = '<text:h text:outline-level="1">Gone</text:h>'
    body = (
        f'<text:tracked-changes>{deleted}</text:tracked-changes><text:h text:outline-level="1">Parts</text:h>'
        f'<text:list text:style-name="N">{item.format("Lamp", inner)}{item.format("Oil", "")}</text:list>'
        f'<text:p>And</text:p><text:list text:style-name="N" text:continue-numbering="true">{item.format("Can", "")}'
        f'</text:list><text:list text:style-name="N"><text:list-item text:start-value="7"><text:p>Anew</text:p>'
        f'</text:list-item></text:list><text:list text:style-name="B">{item.format("Bullet", "")}</text:list>'
        '<text:h text:outline-level="1">Prices</text:h>'
    )
    document = _parse(builder.write_opendocument(tmp_path / "a.odt", "text", body, styles))
    assert document.pages[0].split("\n\n") == [
        *("I. Parts", "1. Lamp", "1.a Lens", "1.b Wick", "of cotton", "2. Oil", "And", "3. Can", "7. Anew"),
        *("Bullet", "II. Prices"),
    ]


def test_an_opendocument_presentation(tmp_path: Path) -> None:
    body = (
        "<draw:page><draw:frame><draw:text-box><text:p>One</text:p></draw:text-box></draw:frame>"
        "<presentation:notes><draw:frame><draw:text-box><text:p>Say hello.</text:p></draw:text-box></draw:frame>"
        "</presentation:notes></draw:page><draw:page/>"
    )
    path = builder.write_opendocument(tmp_path / "a.odp", "presentation", body)
    assert _parse(path).pages == ["One\n\nNotes: Say hello.", ""]


def test_rich_text(samples: Path) -> None:
    document = _parse(samples / "cleaning.rtf")
    assert document.metadata == {"title": "Cleaning of lanterns"}
    assert "the café by the harbour" in document.pages[0]
    assert "12 € an hour" in document.pages[0]
    assert "Glass | after each hire\nWick | every ten hours" in document.pages[0]


@pytest.mark.parametrize(("machine", "letter"), [("ansi", "e9"), ("mac", "8e"), ("pc", "82"), ("pca", "82")])
def test_rich_text_names_its_encoding(tmp_path: Path, machine: str, letter: str) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(f"{{\\rtf1\\{machine} caf\\'{letter}}}")
    assert _parse(path).pages == ["café"]


def test_rich_text_beside_the_text(tmp_path: Path) -> None:
    """Notes, comments, boxes and headers come after it, each once. Deleted text is left out."""
    path = tmp_path / "a.rtf"
    path.write_text(
        r"{\rtf1{\header\pard On lamps\par}\pard Trim{\footnote\pard Weekly, {\i if lit}.} the wick"
        r"{\*\annotation{\*\atndate 7}Who?}.\par{\pntext\f0 1.\tab}Brass{\deleted\revauthdel1  or {\b tin}} only\par"
        r"{\shp{\*\shpinst{\sp 1}{\shptxt Mind the glass}}}{\header\pard On lamps\par}The end \{0\}.\par}"
    )
    lines = _parse(path).pages[0].split("\n")
    assert [line.strip() for line in lines if line] == [
        *("Trim the wick.", "1.\tBrass only", "The end {0}."),
        *("On lamps", "Weekly, if lit.", "Who?", "Mind the glass"),
    ]


def test_control_words_in_rich_text_take_linear_time(tmp_path: Path) -> None:
    """A naive pattern could match the blanks in ways that double with each control word."""
    path = tmp_path / "a.rtf"
    path.write_text(r"{\rtf1 {" + r"\b " * 100_000 + "bold}}")
    start = time.process_time()
    assert _parse(path).pages == ["bold"]
    assert time.process_time() - start < 5


def test_rich_text_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(r"{\rtf1 Trim {\b the} wick{\footnote Weekly")
    assert _parse(path).pages == ["Trim the wickWeekly"]


def test_pictures_in_rich_text_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text("{\\rtf1 before {\\pict\\pngblip\n" + "89504e47\n" * 500_000 + "} after}")
    assert _parse(path).pages[0].split() == ["before", "after"]


def test_a_book_in_its_reading_order(tmp_path: Path) -> None:
    chapters = {"b.xhtml": "<html><body><h1>Two</h1></body></html>", "a.xhtml": "<p>One</p>"}
    document = _parse(builder.write_epub(tmp_path / "a.epub", chapters))
    assert document.pages == ["One", "Two"]
    assert document.metadata == {"title": "On Lanterns", "author": "A. Wick"}


def test_the_notes_of_a_book(tmp_path: Path) -> None:
    """Notes are hidden until the reader opens them. Other hidden text is left out."""
    notes = '<aside epub:type="footnote" hidden=""><p>Of brass.</p></aside><aside hidden=""><p>Unseen</p></aside>'
    path = builder.write_epub(tmp_path / "a.epub", {"a.xhtml": f"<p>The lantern</p>{notes}"})
    assert _parse(path).pages == ["The lantern\n\nOf brass."]


def test_a_missing_chapter_costs_that_chapter(tmp_path: Path) -> None:
    path = builder.write_epub(tmp_path / "a.epub", {"../../../etc/passwd": "<p>outside</p>", "a.xhtml": "<p>One</p>"})
    document = _parse(path)
    assert document.pages == ["One", ""]
    assert document.warnings == ["Chapter 2 (../../etc/passwd) is missing or damaged."]


@pytest.mark.parametrize(("uri", "is_refused"), [("OPS/a.xhtml", True), ("OPS/font.otf", False)])
def test_a_book_with_copy_protection(tmp_path: Path, uri: str, is_refused: bool) -> None:
    encryption = {"META-INF/encryption.xml": f'<encryption><CipherReference URI="{uri}"/></encryption>'}
    path = builder.write_epub(tmp_path / "a.epub", {"a.xhtml": "<p>One</p>"}, dict(encryption))
    if not is_refused:
        assert _parse(path).pages == ["One"]
        return
    with pytest.raises(Encrypted, match="DRM"):
        _parse(path)


@pytest.mark.parametrize("name", ["a.pptx", "a.odt", "a.epub", "a.xlsx", "a.ods"])
def test_a_damaged_part_is_corrupt(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    makers = {
        "a.pptx": lambda: builder.write_pptx(path),
        "a.odt": lambda: builder.write_opendocument(path, "text", "<text:p>One</text:p>" * 500),
        "a.ods": lambda: builder.write_opendocument(path, "spreadsheet", "<table:table/>" * 500),
        "a.epub": lambda: builder.write_epub(path, {"a.xhtml": "<p>One</p>"}),
        "a.xlsx": lambda: builder.write_xlsx(path, {"A": builder.sheet([["x"]])}),
    }
    makers[name]()
    data = bytearray(path.read_bytes())
    start = {"a.odt": b"content.xml", "a.ods": b"content.xml", "a.epub": b"OPS/book.opf"}.get(name, b"/")
    place = data.index({"a.pptx": b"ppt/presentation.xml", "a.xlsx": b"xl/workbook.xml"}.get(name, start))
    data[place + 30 : place + 60] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        _parse(path)


@pytest.mark.parametrize("name", ["slides", "sheet.docx", "text.pdf", "book.txt"])
def test_the_content_decides(tmp_path: Path, name: str) -> None:
    makers: dict[str, tuple[Callable[[Path], Path], str]] = {
        "slides": (builder.write_pptx, "pptx"),
        "sheet.docx": (lambda path: builder.write_xlsx(path, {"A": builder.sheet([["x"]])}), "xlsx"),
        "text.pdf": (lambda path: builder.write_opendocument(path, "text", "<text:p>One</text:p>"), "odt"),
        "book.txt": (lambda path: builder.write_epub(path, {"a.xhtml": "<p>One</p>"}), "epub"),
    }
    make, format_name = makers[name]
    result = read(make(tmp_path / name), name)
    assert result["fileType"] == format_name
    assert len(result["warnings"]) == (1 if "." in name else 0)
