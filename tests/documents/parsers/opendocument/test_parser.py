"""OpenDocument texts, presentations and drawings."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse
from tests.support import builder

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
    document = parse(builder.write_opendocument(tmp_path / "a.odt", "text", body, styles))
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
    document = parse(builder.write_opendocument(tmp_path / "a.odt", "text", body, styles))
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
    assert parse(path).pages == ["One\n\nNotes: Say hello.", ""]
