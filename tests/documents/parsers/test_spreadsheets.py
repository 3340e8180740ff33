"""Workbooks as their programs show them, also unusual, old, protected and damaged ones."""

import random
import struct
import time
from collections.abc import Callable
from hashlib import md5
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import msoffcrypto.format.ooxml
import pytest
from msoffcrypto.method.rc4 import DocumentRC4

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers import ParsedDocument, parser_for
from documents.reading.pipeline import read
from tests.support import builder
from tests.support.ole_builder import FILE_PASS, biff5, number_cell, ole, text_cell, write_ole


def _parse(path: Path) -> ParsedDocument:
    parser = parser_for(path.suffix.removeprefix("."))
    assert parser
    return parser.parse(path, lambda done, total: None)


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
    assert _parse(_formatted(tmp_path / "a.xlsx")).rows == [[SHOWN]]


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
    assert _parse(path).rows == [[["15,5 %", "15.5%", "00501", "2024-03-15", "TRUE", "30:05:07"]]]


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
    document = _parse(path)
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
    assert _parse(path).pages == ["A\nfound"]


@pytest.mark.parametrize("cell", ["T1048576", "XFD1048576", "XFD3000", "A1048576"])
def test_a_stray_cell_costs_nothing(tmp_path: Path, cell: str) -> None:
    number = "".join(filter(str.isdigit, cell))
    row = f'<row r="{number}"><c r="{cell}" t="inlineStr"><is><t>stray</t></is></c></row></sheetData>'
    sheet = builder.sheet([["head", "", "third"]]).replace("</sheetData>", row)
    start = time.process_time()
    page = _parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": sheet})).pages[0]
    assert time.process_time() - start < 2
    assert page.split("\n")[1].startswith("head |")
    assert page.endswith("stray")


def test_a_million_blank_rows(tmp_path: Path) -> None:
    """Formatted rows without text, as some programs write them up to the last one."""
    blank = '<row r="{0}"><c r="A{0}" s="1"/><c r="B{0}" s="1"/></row>'
    rows = "".join(blank.format(number) for number in range(2, 200_000))
    sheet = builder.sheet([["head"]]).replace("</sheetData>", f"{rows}</sheetData>")
    assert _parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": sheet})).rows == [[["head"]]]
    row = '<table:table-row><table:table-cell office:value-type="string"><text:p>head</text:p></table:table-cell>'
    blank = '<table:table-row table:number-rows-repeated="1048575"><table:table-cell'
    body = f'<table:table table:name="A">{row}</table:table-row>{blank}/></table:table-row></table:table>'
    assert _parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)).rows == [[["head"]]]


def test_repeated_cells_count(tmp_path: Path) -> None:
    cell = '<table:table-cell table:number-columns-repeated="3"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="{{}}">{cell}</table:table-row>'
    body = f'<table:table table:name="A">{row}</table:table>'
    path = builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body.format(2))
    assert _parse(path).rows == [[["x"] * 3] * 2]
    with pytest.raises(TooLarge):
        _parse(builder.write_opendocument(tmp_path / "b.ods", "spreadsheet", body.format(1_000_000)))


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
    assert _parse(builder.write_opendocument(tmp_path / "a.ods", "spreadsheet", body)).pages == ["S\na pelican"]


def test_a_damaged_sheet_costs_that_sheet(tmp_path: Path) -> None:
    sheets = {
        "Good": builder.sheet([["kept"]]),
        "Bad": "<worksheet><sheetData><row><c",
        "Last": builder.sheet([["too"]]),
    }
    document = _parse(builder.write_xlsx(tmp_path / "a.xlsx", sheets))
    assert document.pages == ["Good\nkept", "", "Last\ntoo"]
    assert len(document.warnings) == 1
    assert "Bad" in document.warnings[0]


def test_a_workbook_whose_sheets_are_all_damaged(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        _parse(builder.write_xlsx(tmp_path / "a.xlsx", {"Bad": "<worksheet><sheetData><row><c"}))


def test_a_missing_sheet_costs_that_sheet(tmp_path: Path) -> None:
    links = builder.rels(("rId1", "worksheet", "worksheets/sheet1.xml"), ("rId2", "worksheet", "gone.xml"))
    sheets = {"Good": builder.sheet([["kept"]]), "Gone": builder.sheet([["lost"]])}
    document = _parse(builder.write_xlsx(tmp_path / "a.xlsx", sheets, {"xl/_rels/workbook.xml.rels": links}))
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
    assert _parse(path).pages == ["A\nx\nOrder, then pay"]


def test_characters_that_xml_cannot_hold(tmp_path: Path) -> None:
    assert _parse(builder.write_xlsx(tmp_path / "a.xlsx", {"A": builder.sheet([["a_x000A_b"]])})).rows == [[["a\nb"]]]


NAMES = "xmlns:{0}='urn:oasis:names:tc:opendocument:xmlns:{0}:1.0'".format
FLAT = (
    f"<?xml version='1.0'?>\n<office:document {NAMES('office')} {NAMES('text')} {NAMES('table')} "
    "xmlns:draw='urn:oasis:names:tc:opendocument:xmlns:drawing:1.0' office:version='1.3' "
    "office:mimetype='application/vnd.oasis.opendocument.{}'><office:meta><dc:title xmlns:dc='dc'>On lamps</dc:title>"
    "</office:meta><office:body>{}</office:body></office:document>"
)
FLAT_CELL = "<table:table-cell><text:p>Lamp</text:p></table:table-cell>"
FLAT_TABLE = f"<table:table table:name='S'><table:table-row>{FLAT_CELL}</table:table-row></table:table>"


@pytest.mark.parametrize(
    ("kind", "body", "format_name", "pages"),
    [
        ("text", "<office:text><text:p>Lamp</text:p></office:text>", "odt", ["Lamp"]),
        ("spreadsheet", f"<office:spreadsheet>{FLAT_TABLE}</office:spreadsheet>", "ods", ["S\nLamp"]),
        (
            "presentation",
            "<office:presentation><draw:page><text:p>Lamp</text:p></draw:page><draw:page/></office:presentation>",
            "odp",
            ["Lamp", ""],
        ),
        ("graphics", "<office:drawing><draw:page><text:p>Lamp</text:p></draw:page></office:drawing>", "odg", ["Lamp"]),
    ],
)
def test_flat_opendocument(tmp_path: Path, kind: str, body: str, format_name: str, pages: list[str]) -> None:
    """One XML file instead of a package: .fodt, .fods, .fodp and .fodg."""
    (tmp_path / "stored").write_text(FLAT.format(kind, body))
    result = read(tmp_path / "stored", f"a.f{format_name}")
    assert (result["fileType"], result["pages"], result["warnings"]) == (format_name, pages, [])


def test_a_drawing_of_opendocument(tmp_path: Path) -> None:
    """It has pages and no documents inside."""
    page = "<draw:page><draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame></draw:page>"
    path = builder.write_opendocument(tmp_path / "a.odg", "drawing", page.format("One") + page.format("Two"))
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["mimetype"] = b"application/vnd.oasis.opendocument.graphics"
    builder.write_zip(path, dict(parts))
    folder = tmp_path / "members"
    folder.mkdir()
    result = read(path, "a.odg", members=folder)
    assert (result["fileType"], result["pages"], result["members"]) == ("odg", ["One", "Two"], [])
