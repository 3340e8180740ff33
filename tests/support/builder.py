"""Builds small files of formats that no library here writes, according to their standards."""

import struct
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

OFFICE = "application/vnd.openxmlformats-officedocument"
RELATIONSHIPS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_R = f'xmlns:r="{RELATIONSHIPS}"'
_ODF = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("presentation", "presentation"),
        ("style", "style"),
    )
)


def write_zip(path: Path, parts: dict[str, str | bytes]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def zip_bytes(parts: dict[str, str | bytes]) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def package(main: str, content_type: str) -> dict[str, str | bytes]:
    """Returns the parts that every Office Open XML file has."""
    return {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{main}" ContentType="{content_type}"/></Types>',
        "_rels/.rels": rels(("rId1", "officeDocument", main)),
    }


def rels(*targets: tuple[str, str, str]) -> str:
    entries = (f'<Relationship Id="{id}" Type="{RELATIONSHIPS}/{kind}" Target="{to}"/>' for id, kind, to in targets)
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(entries)}</Relationships>'


def paragraphs(*texts: str) -> str:
    return "".join(f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in texts)


def shape(*texts: str, kind: str = "body") -> str:
    return (
        f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        f"<p:txBody>{paragraphs(*texts)}</p:txBody></p:sp>"
    )


def slide(*content: str) -> str:
    return f"<p:sld {_A} {_P}><p:cSld><p:spTree>{''.join(content)}</p:spTree></p:cSld></p:sld>"


def write_pptx(path: Path, others: dict[str, str | bytes] | None = None) -> Path:
    """Writes two slides. The second is hidden and has a table, a chart and notes. `others` replace parts."""
    row = "<a:tr>{}</a:tr>"
    cell = "<a:tc><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>"
    rows = "".join(
        row.format("".join(map(cell.format, cells))) for cells in (("Month", "Lamps"), ("July", "310"), ("", ""))
    )
    table = (
        f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"
    )
    second = slide(shape("Figures", kind="title"), table).replace("<p:sld ", '<p:sld show="0" ')
    chart = (
        f'<c:chart xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" {_A}>'
        f"<c:title>{paragraphs('Lamps by month')}</c:title>"
        "<c:strCache><c:pt><c:v>Brass lantern</c:v></c:pt></c:strCache></c:chart>"
    )
    notes = f"<p:notes {_A} {_P}>{shape('Pause here for questions.')}{shape('2', kind='sldNum')}</p:notes>"
    list_ = f'<p:presentation {_P} {_R}><p:sldIdLst><p:sldId id="256" r:id="rId2"/><p:sldId id="257" r:id="rId1"/>'
    return write_zip(
        path,
        {
            **package("ppt/presentation.xml", f"{OFFICE}.presentationml.presentation.main+xml"),
            "ppt/presentation.xml": f"{list_}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": rels(
                ("rId1", "slide", "slides/slide1.xml"), ("rId2", "slide", "/ppt/slides/slide2.xml")
            ),
            "ppt/slides/slide1.xml": second,
            "ppt/slides/slide2.xml": slide(shape("Lantern sales", kind="title"), shape("Up by a tenth")),
            "ppt/slides/_rels/slide1.xml.rels": rels(
                ("rId1", "notesSlide", "../notesSlides/notesSlide1.xml"),
                ("rId2", "chart", "../charts/chart1.xml"),
                ("rId3", "image", "../media/image1.EMF"),
            ),
            "ppt/notesSlides/notesSlide1.xml": notes,
            "ppt/charts/chart1.xml": chart,
            "ppt/media/image1.EMF": emf("Drawn", "long ago"),
            **(others or {}),
        },
    )


def emf(*texts: str) -> bytes:
    """Returns an EMF picture: a header, a record for each text, and the end."""
    records = [struct.pack("<II", 1, 88) + bytes(80)]
    for text in texts:
        data = text.encode("utf-16-le")
        data += bytes(-len(data) % 4)
        records.append(struct.pack("<II", 84, 76 + len(data)) + bytes(36) + struct.pack("<II", len(text), 76))
        records[-1] += bytes(24) + data
    return b"".join([*records, struct.pack("<II", 14, 20) + bytes(12)])


def sheet(rows: list[list[str]]) -> str:
    """Returns a sheet. Cells are inline texts, or numbers if they look like numbers."""
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(_cell(f"{chr(65 + place)}{number}", value) for place, value in enumerate(row) if value)
        lines.append(f'<row r="{number}">{cells}</row>')
    return f"<worksheet {_MAIN}><sheetData>{''.join(lines)}</sheetData></worksheet>"


_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def _cell(place: str, value: str) -> str:
    if value.replace(".", "", 1).isdecimal():
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'


def write_xlsx(path: Path, sheets: dict[str, str], others: dict[str, str] | None = None) -> Path:
    """Writes a workbook. `sheets` are XML by name. The last of several is hidden. `others` add or replace parts."""
    names = list(sheets)
    state = {names[-1]: ' state="hidden"'} if len(names) > 1 else {}
    entries = "".join(
        f'<sheet name="{name}" sheetId="{place}" r:id="rId{place}"{state.get(name, "")}/>'
        for place, name in enumerate(names, start=1)
    )
    targets = [(f"rId{place}", "worksheet", f"worksheets/sheet{place}.xml") for place in range(1, len(names) + 1)]
    return write_zip(
        path,
        {
            **package("xl/workbook.xml", f"{OFFICE}.spreadsheetml.sheet.main+xml"),
            "xl/workbook.xml": f"<workbook {_MAIN} {_R}><sheets>{entries}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": rels(*targets),
            **{f"xl/worksheets/sheet{place}.xml": xml for place, xml in enumerate(sheets.values(), start=1)},
            **(others or {}),
        },
    )


def write_opendocument(path: Path, kind: str, body: str, styles: str = "") -> Path:
    """Writes an OpenDocument file. `kind` is `text`, `presentation` or `spreadsheet`."""
    return write_zip(
        path,
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:document-content {_ODF}><office:body><office:{kind}>{body}</office:{kind}>"
            "</office:body></office:document-content>",
            "styles.xml": f"<office:document-styles {_ODF}>{styles}</office:document-styles>",
            "META-INF/manifest.xml": "<manifest/>",
        },
    )


def write_epub(path: Path, chapters: dict[str, str], extra: dict[str, str | bytes] | None = None) -> Path:
    """Writes a book whose reading order is the reverse of the order of its files."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in chapters)
    order = "".join(f'<itemref idref="{name}"/>' for name in reversed(chapters))
    return write_zip(
        path,
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfile full-path="OPS/book.opf"/></container>',
            "OPS/book.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/">'
            "<metadata><dc:title>On Lanterns</dc:title><dc:creator>A. Wick</dc:creator></metadata>"
            f"<manifest>{items}</manifest><spine>{order}</spine></package>",
            **{f"OPS/{name}": content for name, content in chapters.items()},
            **(extra or {}),
        },
    )


def pdf(*objects: bytes) -> bytes:
    """Returns a PDF of these objects, numbered from 1. The first is its catalog."""
    parts = [b"%PDF-1.7\n"]
    parts += [b"%d 0 obj\n%b\nendobj\n" % (number, content) for number, content in enumerate(objects, start=1)]
    places = list(accumulate(map(len, parts)))
    table = b"".join(b"%010d 00000 n \n" % place for place in places[:-1])
    end = b"xref\n0 %d\n0000000000 65535 f \n%btrailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
    return b"".join([*parts, end % (len(objects) + 1, table, len(objects) + 1, places[-1])])


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(data), entries, data)


def one_page(contents: bytes, *others: bytes, resources: bytes = b"") -> bytes:
    """Returns a PDF of one page. Its font F1 is object 5; `others` are the objects from 6 on."""
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> %b >> >>" % resources,
        contents,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *others,
    )


WORD = f"{OFFICE}.wordprocessingml.document.main+xml"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def write_docx(path: Path, body: str, *others: tuple[str, str, str]) -> Path:
    """Writes a Word document. `others` are kind, name and content of other parts. One without content is missing."""
    links = [(f"rId{place}", kind, name) for place, (kind, name, _) in enumerate(others, start=1)]
    return write_zip(
        path,
        {
            **package("word/document.xml", WORD),
            "word/document.xml": f"<w:document {W} {_R}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": rels(*links),
            **{f"word/{name}": content for _, name, content in others if content},
        },
    )


def word(text: str, properties: str = "", run_properties: str = "") -> str:
    """Returns a paragraph."""
    return f'<w:p>{properties}<w:r>{run_properties}<w:t xml:space="preserve">{text}</w:t></w:r></w:p>'
