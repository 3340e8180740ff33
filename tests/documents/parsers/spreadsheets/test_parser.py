"""Workbooks as their programs show them, also unusual, old, protected and damaged ones."""

import random
import struct
import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import md5
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import msoffcrypto.format.ooxml
import pytest
from msoffcrypto.method.rc4 import DocumentRC4

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers.spreadsheets import parser, sheet_rows
from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse
from tests.support import builder
from tests.support.ole_builder import FILE_PASS, biff5, number_cell, ole, text_cell, write_ole

FORMATS = {"0.0%": "0.155", "00000": "501", "dd.mm.yyyy": "45366", "&quot;EUR&quot; #,##0.00": "1234.5"}
SHOWN = ["15.5%", "00501", "15.03.2024", "EUR 1,234.50", "3.5"]


def _formatted(path: Path) -> Path:
    """Writes a workbook with a row of numbers in these formats, and one without a format."""
    codes = "".join(f'<numFmt numFmtId="{200 + n}" formatCode="{code}"/>' for n, code in enumerate(FORMATS))
    entries = "".join(f'<xf numFmtId="{200 + n}"/>' for n in range(len(FORMATS)))
    cells = "".join(f'<c s="{n}"><v>{value}</v></c>' for n, value in enumerate([*FORMATS.values(), "3.5"], start=1))
    sheet = builder.sheet([]).replace("<sheetData>", f"<sheetData><row>{cells}</row>")
    styles = f"<styleSheet><numFmts>{codes}</numFmts><cellXfs><xf/>{entries}</cellXfs></styleSheet>"
    links = builder.rels(("rId1", "worksheet", "worksheets/sheet1.xml"), ("rId2", "styles", "styles.xml"))
    return builder.write_xlsx(path, {"A": sheet}, {"xl/_rels/workbook.xml.rels": links, "xl/styles.xml": styles})


def test_numbers_as_excel_shows_them(tmp_path: Path) -> None:
    assert parse(_formatted(tmp_path / "a.xlsx")).rows == [[SHOWN]]


def test_numbers_as_opendocument_shows_them(tmp_path: Path) -> None:
    """The file has both the value and what is shown. Some programs write the value only."""
    cells = (
        '<table:table-cell office:value-type="percentage" office:value="0.155"><text:p>15,5 %</text:p>'
        '</table:table-cell><table:table-cell office:value-type="percentage" office:value="0.155"/>'
        '<table:table-cell office:value-type="float" office:value="501"><text:p>00501</text:p></table:table-cell>'
        '<table:table-cell office:value-type="date" office:date-value="2024-03-15"/>'
        '<table:table-cell office:value-type="boolean" office:boolean-value="true"/>'
        '<table:table-cell office:value-type="time" office:time-value="PT30H05M07S"/>'
    )
    body = f'<table:table table:name="S"><table:table-row>{cells}</table:table-row></table:table>'
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)
    assert parse(path).rows == [[["15,5 %", "15.5%", "00501", "2024-03-15", "TRUE", "30:05:07"]]]


OLD_CELLS = text_cell(0, 0, "Käse") + number_cell(0, 1, 0.155, 1) + number_cell(0, 2, 501, 2) + text_cell(1, 0, "6", 3)


@pytest.mark.parametrize("name", ["Book", "Workbook", ""])
def test_excel_5(tmp_path: Path, name: str) -> None:
    """Excel 5 calls the stream Book. A workbook without a container is a plain file."""
    data = biff5({"Stock": OLD_CELLS, "B": text_cell(0, 0, "two")}, ("0.0%", "00000"))
    path = tmp_path / "stored-without-a-name"
    path.write_bytes(ole({name: data}) if name else data)
    result = read(path, path.name)
    assert (result["fileType"], result["pages"]) == ("xls", ["Stock\nKäse | 15.5% | 00501\n⁶", "B\ntwo"])


def test_an_old_workbook_with_a_password(tmp_path: Path) -> None:
    path = write_ole(tmp_path / "stored", {"Workbook": biff5({"S": text_cell(0, 0, "x")}, before=FILE_PASS)})
    with pytest.raises(Encrypted):
        read(path, "stored")


def _with_password(path: Path, password: str) -> Path:
    """Writes a workbook that is encrypted with the password."""
    plain = _formatted(path.with_suffix(".plain"))
    with ZipFile(plain, "a") as archive:
        archive.writestr("docProps/thumbnail.bin", random.Random(7).randbytes(5_000))
    encrypted = BytesIO()
    msoffcrypto.format.ooxml.OOXMLFile(BytesIO(plain.read_bytes())).encrypt(password, encrypted)
    path.write_bytes(encrypted.getvalue())
    return path


def test_excels_own_password(tmp_path: Path) -> None:
    """Excel opens such a file without asking. It encrypts those whose structure is protected."""
    result = read(_with_password(tmp_path / "stored", "VelvetSweatshop"), "stored")
    assert (result["fileType"], result["rows"]) == ("xlsx", [[SHOWN]])


def _old_with_password(password: str) -> bytes:
    """Returns a workbook of Excel 97 that is encrypted by [MS-OFFCRYPTO] 2.3.6. The same key decrypts and encrypts."""
    salt, proof = bytes(range(16)), bytes(range(16, 32))
    key = BytesIO(proof + md5(proof).digest())
    sealed = DocumentRC4.decrypt(password, salt, key, blocksize=1024).read()
    file_pass = struct.pack("<HHHHH", 0x2F, 54, 1, 1, 1) + salt + sealed
    plain = biff5({"Stock": OLD_CELLS}, ("0.0%", "00000"), before=file_pass)
    hidden = bytearray(DocumentRC4.decrypt(password, salt, BytesIO(plain), blocksize=1024).read())
    place = 0
    while place < len(plain):
        kind, size = struct.unpack_from("<HH", plain, place)
        is_open = {0x809: size, 0x2F: size, 0x85: 4}.get(kind, 0)  # these are never encrypted
        hidden[place : place + 4 + is_open] = plain[place : place + 4 + is_open]
        place += 4 + size
    return ole({"Workbook": bytes(hidden)})


def test_excels_own_password_in_an_old_workbook(tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(_old_with_password("VelvetSweatshop"))
    result = read(tmp_path / "stored", "stored")
    assert (result["fileType"], result["pages"]) == ("xls", ["Stock\nKäse | 15.5% | 00501\n⁶"])
    (tmp_path / "other").write_bytes(_old_with_password("secret"))
    with pytest.raises(Encrypted):
        read(tmp_path / "other", "other")


def test_a_damaged_sheet_of_an_old_workbook_costs_that_sheet(tmp_path: Path) -> None:
    data = biff5({"Good": text_cell(0, 0, "kept"), "Bad": text_cell(0, 0, "x" * 40), "Last": text_cell(0, 0, "too")})
    start = struct.pack("<HHHHHH", 0x809, 8, 0x500, 16, 0, 0)  # begins each sheet
    good, bad, last = data.split(start)[1:]
    broken = data[: data.index(start)] + start + good + bytes(len(start)) + bad + start + last
    path = write_ole(tmp_path / "a.xls", {"Workbook": broken})
    document = parse(path)
    assert document.pages == ["Good\nkept", "", "Last\ntoo"]
    assert "Bad" in document.warnings[0]


def test_another_password(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        read(_with_password(tmp_path / "stored", "secret"), "stored")


@pytest.mark.parametrize(
    "respell",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: name.upper(),
        lambda name: name.replace("sheet1", "sheet%31"),
        lambda name: f"/{name}",
    ],
)
@pytest.mark.parametrize("kind", ["xlsx", "docx", "pptx"])
def test_part_names_in_another_spelling(tmp_path: Path, kind: str, respell: Callable[[str], str]) -> None:
    makers: dict[str, Callable[[Path], Path]] = {
        "xlsx": _formatted,
        "docx": lambda path: builder.write_docx(path, builder.word("x")),
        "pptx": builder.write_pptx,
    }
    path = makers[kind](tmp_path / f"a.{kind}")
    with ZipFile(path) as archive:
        parts = {respell(name): archive.read(name) for name in archive.namelist()}
    changed = read(builder.write_zip(tmp_path / "stored", dict(parts)), "stored")
    assert changed["fileType"] == kind
    assert changed["pages"] == read(path, path.name)["pages"]


def test_a_part_name_with_a_blank(tmp_path: Path) -> None:
    links = builder.rels(("rId1", "worksheet", "worksheets/my%20sheet.xml"))
    others = {"xl/_rels/workbook.xml.rels": links, "xl/worksheets/my sheet.xml": builder.sheet([["found"]])}
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([])}, others)
    assert parse(path).pages == ["A\nfound"]


@pytest.mark.parametrize("cell", ["T1048576", "XFD1048576", "XFD3000", "A1048576"])
def test_a_stray_cell_costs_nothing(tmp_path: Path, cell: str) -> None:
    number = "".join(filter(str.isdigit, cell))
    row = f'<row r="{number}"><c r="{cell}" t="inlineStr"><is><t>stray</t></is></c></row></sheetData>'
    sheet = builder.sheet([["head", "", "third"]]).replace("</sheetData>", row)
    start = time.process_time()
    page = parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": sheet})).pages[0]
    assert time.process_time() - start < 2
    assert page.split("\n")[1].startswith("head |")
    assert page.endswith("stray")


def test_a_million_blank_rows(tmp_path: Path) -> None:
    """Formatted rows without text, as some programs write them up to the last one."""
    blank = '<row r="{0}"><c r="A{0}" s="1"/><c r="B{0}" s="1"/></row>'
    rows = "".join(blank.format(number) for number in range(2, 200_000))
    sheet = builder.sheet([["head"]]).replace("</sheetData>", f"{rows}</sheetData>")
    assert parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": sheet})).rows == [[["head"]]]
    row = '<table:table-row><table:table-cell office:value-type="string"><text:p>head</text:p></table:table-cell>'
    blank = '<table:table-row table:number-rows-repeated="1048575"><table:table-cell'
    body = f'<table:table table:name="A">{row}</table:table-row>{blank}/></table:table-row></table:table>'
    assert parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)).rows == [[["head"]]]


def test_repeated_cells_count(tmp_path: Path) -> None:
    cell = '<table:table-cell table:number-columns-repeated="3"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="{{}}">{cell}</table:table-row>'
    body = f'<table:table table:name="A">{row}</table:table>'
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body.format(2))
    assert parse(path).rows == [[["x"] * 3] * 2]
    with pytest.raises(TooLarge):
        parse(builder.write_opendocument(tmp_path / "b.ods", "spreadsheet", body.format(1_000_000)))


def test_an_indented_workbook(tmp_path: Path) -> None:
    body = """
      <table:table table:name="S">
        <table:table-row>
          <table:table-cell office:value-type="string">
            <text:p>a
              pelican</text:p>
          </table:table-cell>
        </table:table-row>
      </table:table>
    """
    assert parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)).pages == ["S\na pelican"]


def test_a_damaged_sheet_costs_that_sheet(tmp_path: Path) -> None:
    sheets = {
        "Good": builder.sheet([["kept"]]),
        "Bad": "<worksheet><sheetData><row><c",
        "Last": builder.sheet([["too"]]),
    }
    document = parse(builder.write_xlsx(tmp_path / "a.xlsx", sheets))
    assert document.pages == ["Good\nkept", "", "Last\ntoo"]
    assert len(document.warnings) == 1
    assert "Bad" in document.warnings[0]


def test_a_workbook_whose_sheets_are_all_damaged(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        parse(builder.write_xlsx(tmp_path / "a.xlsx", {"Bad": "<worksheet><sheetData><row><c"}))


def test_a_missing_sheet_costs_that_sheet(tmp_path: Path) -> None:
    links = builder.rels(("rId1", "worksheet", "worksheets/sheet1.xml"), ("rId2", "worksheet", "gone.xml"))
    sheets = {"Good": builder.sheet([["kept"]]), "Gone": builder.sheet([["lost"]])}
    document = parse(builder.write_xlsx(tmp_path / "a.xlsx", sheets, {"xl/_rels/workbook.xml.rels": links}))
    assert document.pages == ["Good\nkept", ""]
    assert "Gone" in document.warnings[0]


def test_a_diagram_in_a_workbook(tmp_path: Path) -> None:
    """SmartArt keeps its texts in a separate part."""
    point = f"<d:pt><d:t>{builder.paragraphs('Order, then pay')}</d:t></d:pt>"
    others = {
        "xl/worksheets/_rels/sheet1.xml.rels": builder.rels(("r1", "drawing", "../drawings/drawing1.xml")),
        "xl/drawings/drawing1.xml": "<d/>",
        "xl/drawings/_rels/drawing1.xml.rels": builder.rels(("r1", "diagramData", "../diagrams/data1.xml")),
        "xl/diagrams/data1.xml": f'<d:dataModel xmlns:d="d" xmlns:a="a"><d:ptLst>{point}</d:ptLst></d:dataModel>',
    }
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([["x"]])}, others)
    assert parse(path).pages == ["A\nx\nOrder, then pay"]


def test_characters_that_xml_cannot_hold(tmp_path: Path) -> None:
    assert parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([["a_x000A_b"]])})).rows == [[["a\nb"]]]


def test_sheets_are_pages_and_keep_their_columns(tmp_path: Path) -> None:
    orders = builder.sheet([["Article", "Sold", "Price"], [], ["Lamp", "40", "18.5"], ["Wick", "", "1.25"]])
    path = builder.write_xlsx(
        tmp_path / "a.xlsx", {"Orders": orders, "Empty": builder.sheet([]), "Old": builder.sheet([["gone"]])}
    )
    document = parse(path)
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
    document = parse(path)
    assert document.pages == ["Stock\nLamp | 40\nB1: Count again", "Empty\nIn a box\nLamps by month"]
    assert document.rows == [[["Lamp", "40"]], []]
    assert len(document.warnings) == 1
    assert "xl/comments2.xml" in document.warnings[0]


def test_damage_outside_the_cells_costs_those_texts_only(tmp_path: Path) -> None:
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"Stock": builder.sheet([["Lamp"]])})
    with ZipFile(path, "a") as archive:
        archive.writestr("xl/comments1.xml", "<comments/>")
        archive.writestr("xl/worksheets/_rels/sheet1.xml.rels", "<Relationships")
    document = parse(path)
    assert document.pages == ["Stock\nLamp"]
    assert "comments" in document.warnings[0]


def test_a_workbook_of_opendocument(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    row = f"<table:table-row>{cell.format('Lamp')}{cell.format('brass')}</table:table-row>"
    path = builder.write_opendocument(
        tmp_path / "a.ods", "spreadsheet", f'<table:table table:name="Stock">{row}</table:table>'
    )
    assert parse(path).rows == [[["Lamp", "brass"]]]


def test_comments_in_a_workbook_of_opendocument(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string">{}<text:p>Lamp</text:p></table:table-cell>'
    note = "<office:annotation><i xmlns='dc'>2025</i><text:p>Count <text:s/>again</text:p></office:annotation>"
    sheets = "".join(
        f'<table:table table:name="{name}"><table:table-row>{cell.format(inside)}</table:table-row></table:table>'
        for name, inside in (("Old", ""), ("Stock", note))
    )
    document = parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", sheets))
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
    assert parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([[value]])})).rows == [[[text]]]


def test_a_table_without_its_end_is_corrupt(tmp_path: Path) -> None:
    """The library would search for it endlessly."""
    row = "<table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row>"
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", f'<table:table table:name="S">{row}')
    with pytest.raises(Corrupt):
        parse(path)


def test_durations_and_blank_cells_at_the_end(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="time" office:time-value="PT30H05M07S"><text:p>30:05</text:p>'
    rows = [f"{cell}</table:table-cell><table:table-cell/>", f"{'<table:table-cell/>' * 2}{cell}</table:table-cell>"]
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    body = f'<table:table table:name="S">{body}</table:table>'
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)
    assert parse(path).pages == ["S\n30:05\n |  | 30:05"]
    assert parser._cell_text(timedelta(hours=30, minutes=5, seconds=7)) == "30:05:07"


def test_a_workbook_of_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_rows, "MAX_CELLS", 5)
    path = builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([["a", "b", "c"]] * 2)})
    with pytest.raises(TooLarge, match="split it"):
        parse(path)
