"""Hostile files, in a child process with the limits of production. Each fails alone, with its own error."""

import asyncio
import json
import random
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
import pytest

from documents.reading.pipeline import read_in_child
from tests.support import builder
from workflows.errors import ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles
from workflows.worker.sandbox.limits import ChildLimits

MEMORY = 768 << 20
QUOTED = '; a="'
SECONDS = 20
"""Seconds of the processor. By the clock a reading may take `PATIENCE`, because other tests run at the same time."""
PATIENCE = 300
ENTITIES = '<!DOCTYPE l [<!ENTITY a "lol">{}]><l>&i;</l>'.format(
    "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True))
)
WORD = f"{builder.OFFICE}.wordprocessingml.document.main+xml"
WORKBOOK = f"{builder.OFFICE}.spreadsheetml.sheet.main+xml"


class PatientSandbox(Sandbox):
    def _send_request(self, request: bytes, descriptors: list[int]) -> None:
        asked = json.loads(request)
        asked["limits"]["seconds"] = min(asked["limits"]["seconds"], SECONDS)
        super()._send_request(json.dumps(asked).encode(), descriptors)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = PatientSandbox(memory=MEMORY, seconds=PATIENCE)
    yield sandbox
    sandbox.close()


def outcome(sandbox: Sandbox, path: Path, limits: ChildLimits | None = None) -> tuple[str, str]:
    """Returns the error's code and message, or "ok" and ""."""
    arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100}
    members = path.with_suffix(".members")
    members.mkdir()
    arguments |= {"output": str(path.with_suffix(".out")), "members": str(members)}
    try:
        files = ChildFiles((str(path),), str(path.parent))
        asyncio.run(sandbox.run("documents.reading.pipeline:read_in_child", arguments, limits=limits, files=files))
    except ChildFailed as error:
        return error.code, error.message
    return "ok", ""


def laughing_forms(innermost: bytes) -> bytes:
    """Ten forms, each of which draws the next ten times."""
    entries = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> /XObject << /X %d 0 R >> >>"
    )
    forms = [builder.stream(b"/X Do " * 10, entries % (number + 1)) for number in range(6, 16)]
    forms[-1] = builder.stream(innermost, entries % 5)
    return builder.one_page(builder.stream(b"/X Do " * 10), *forms, resources=b"/XObject << /X 6 0 R >>")


def many_pages() -> bytes:
    kids = b" ".join(b"%d 0 R" % number for number in range(3, 100_003))
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    pages = b"<< /Type /Pages /Kids [%b] /Count 100000 >>" % kids
    return builder.pdf(b"<< /Type /Catalog /Pages 2 0 R >>", pages, *[page] * 100_000)


def deflated_twice() -> bytes:
    data = zlib.compress(zlib.compress(bytes(300_000_000), 9), 9)
    return builder.one_page(builder.stream(data, b"/Filter [/FlateDecode /FlateDecode]"))


def text_without_end() -> bytes:
    """90 MB of instructions, each of which draws a word: just below the limit of the check for bombs."""
    data = zlib.compress(b"BT /F1 12 Tf (word) Tj ET\n" * 3_400_000, 9)
    return builder.one_page(builder.stream(data, b"/Filter /FlateDecode"))


def sheet_of(rows: int, columns: int) -> str:
    values = random.Random(7)
    row = "<row>{}</row>"
    cells = (
        row.format("".join(f"<c><v>{values.randrange(1000, 10_000)}</v></c>" for _ in range(columns)))
        for _ in range(500)
    )
    return builder.sheet([]).replace("<sheetData>", "<sheetData>" + "".join(cells) * (rows // 500))


def again_and_again() -> bytes:
    """A presentation that names its only slide 200,000 times."""
    main = "ppt/presentation.xml"
    ids = '<p:sldId r:id="rId1"/>' * 200_000
    return builder.zip_bytes(
        {
            **builder.package(main, f"{builder.OFFICE}.presentationml.presentation.main+xml"),
            main: f'<p:presentation xmlns:p="x" xmlns:r="{builder.RELATIONSHIPS}">{ids}</p:presentation>',
            "ppt/_rels/presentation.xml.rels": builder.rels(("rId1", "slide", "slide.xml")),
            "ppt/slide.xml": builder.slide(builder.shape(*["text"] * 2_000)),
        }
    )


def again_and_again_in_a_book() -> bytes:
    order = '<itemref idref="a"/>' * 300_000
    item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
    return builder.zip_bytes(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfile full-path="b.opf"/></container>',
            "b.opf": f"<package><manifest>{item}</manifest><spine>{order}</spine></package>",
            "a.xhtml": "<p>" + "text " * 2_000,
        }
    )


def notes_of_every_slide() -> bytes:
    main, slides = "ppt/presentation.xml", range(3_000)
    ids = "".join(f'<p:sldId r:id="r{number}"/>' for number in slides)
    named = builder.rels(*((f"r{number}", "slide", f"{number}.xml") for number in slides))
    notes = {f"ppt/_rels/{number}.xml.rels": builder.rels(("r", "notesSlide", "notes.xml")) for number in slides}
    return builder.zip_bytes(
        {
            **builder.package(main, f"{builder.OFFICE}.presentationml.presentation.main+xml"),
            main: f'<p:presentation xmlns:p="x" xmlns:r="{builder.RELATIONSHIPS}">{ids}</p:presentation>',
            "ppt/_rels/presentation.xml.rels": named,
            "ppt/notes.xml": builder.slide(builder.shape(*["text"] * 8_000)),
            **{f"ppt/{number}.xml": builder.slide() for number in slides},
            **notes,
        }
    )


def nested_parts() -> str:
    heads = "".join(f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n" for number in range(300))
    return f"Subject: x\n{heads}\n" + "x\n" * 2_000_000


SHEETS = "application/vnd.oasis.opendocument.spreadsheet"
ATTRIBUTES = " ".join(f'a{number}="{number}"' for number in range(400_000))
BLANKS = '<text:s text:c="999999999"/>'
FAR_CELL = '<sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'

FAR_HEADING = '<text:h text:outline-level="999999999">x</text:h>'
FAR_LEVEL = (
    '<text:outline-style><text:outline-level-style text:level="999999999" style:num-format="1" '
    'text:display-levels="999999999"/></text:outline-style>'
)
REPEATED_CELL = (
    '<table:table table:name="S"><table:table-row table:number-rows-repeated="1048576"><table:table-cell '
    'office:value-type="string" table:number-columns-repeated="16384"><text:p>x</text:p></table:table-cell>'
    "</table:table-row></table:table>"
)


def with_shared_texts(path: Path, texts: str) -> Path:
    """Writes a workbook whose only cell is the first of the shared texts."""
    cell = '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row>'
    links = builder.rels(("rId1", "worksheet", "worksheets/sheet1.xml"), ("rId2", "sharedStrings", "texts.xml"))
    sheet = builder.sheet([]).replace("<sheetData>", cell)
    return builder.write_xlsx(path, {"A": sheet}, {"xl/_rels/workbook.xml.rels": links, "xl/texts.xml": texts})


def write(folder: Path, name: str) -> Path:
    path = folder / name
    packaged = builder.package("xl/workbook.xml", WORKBOOK)
    opendocument = {"mimetype": "application/vnd.oasis.opendocument.text"}
    makers: dict[str, Any] = {
        "forms.pdf": lambda: laughing_forms(b"BT /F1 12 Tf (word) Tj ET"),
        "pages.pdf": many_pages,
        "twice.pdf": deflated_twice,
        "words.pdf": text_without_end,
        "count.pdf": lambda: builder.one_page(b"<< >>").replace(b"/Count 1", b"/Count 2000000000"),
        "entities.xml": lambda: ENTITIES,
        "long-entity.xml": lambda: f'<!DOCTYPE l [<!ENTITY a "{"x" * 100_000}">]><l>{"&a;" * 10_000}</l>',
        "attributes.xml": lambda: f"<a {ATTRIBUTES}/>",
        "attributes.odt": lambda: builder.zip_bytes(
            {**opendocument, "content.xml": f"<body><p>x<s {ATTRIBUTES}/></p></body>"}
        ),
        "deep.xml": lambda: "<a>" * 1_000_000,
        "deep.docx": lambda: builder.zip_bytes(
            {**builder.package("word/document.xml", WORD), "word/document.xml": "<a>" * 20_000 + "</a>" * 20_000}
        ),
        "deep.html": lambda: "<div>" * 500_000,
        "attributes.html": lambda: f"<p {ATTRIBUTES}>word",
        "menus.html": lambda: "<div class=menu><table><tr><td>x" * 1_500 + "word " * 800_000,
        "deep.json": lambda: "[" * 1_000_000,
        "long.txt": lambda: "word " * 4_100_000,
        "wide.csv": lambda: "1," * 3_000_000,
        "parts.eml": lambda: (
            "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\nContent-Type: text/plain\n\nx\n" * 6_000
        ),
        "bare-parts.eml": lambda: (
            "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 2_000_000
        ),
        "groups.rtf": lambda: "{\\rtf1 " + "{}" * 9_000_000 + "}",
        "nested.json": lambda: "[" * 800 + "1,[]," * 600_000 + "1" + "]" * 800,
        "nested.eml": nested_parts,
        "notes.pptx": notes_of_every_slide,
        "again.pptx": again_and_again,
        "again.epub": again_and_again_in_a_book,
        "parameters.eml": lambda: f"Subject: x\nContent-Type: text/plain{QUOTED * 500_000}\n\nbody",
        "addresses.eml": lambda: f"Subject: x\nTo: {'a@b.c, ' * 300_000}\n\nbody",
        "entities.odt": lambda: builder.zip_bytes({**opendocument, "content.xml": ENTITIES}),
        "entities.xlsx": lambda: builder.zip_bytes({**packaged, "xl/workbook.xml": ENTITIES}),
        "entities.ods": lambda: builder.zip_bytes({"mimetype": SHEETS, "content.xml": ENTITIES}),
        "entities.fods": lambda: (
            ENTITIES.replace("<l>", f'<office:document xmlns:office="o" office:mimetype="{SHEETS}">')[: -len("</l>")]
            + "</office:document>"
        ),
        "entities.docx": lambda: builder.zip_bytes(
            {**builder.package("word/document.xml", WORD), "word/document.xml": ENTITIES}
        ),
        "entities-in-types.docx": lambda: builder.zip_bytes(
            {**builder.package("word/document.xml", WORD), "word/document.xml": "<a/>", "[Content_Types].xml": ENTITIES}
        ),
        "entities.epub": lambda: builder.zip_bytes(
            {"mimetype": "application/epub+zip", "META-INF/container.xml": ENTITIES}
        ),
        "bomb.zip": lambda: builder.zip_bytes({"a.txt": bytes(100_000_000)}),
        "bomb.docx": lambda: builder.zip_bytes({**packaged, "xl/workbook.xml": bytes(100_000_000)}),
        "bombs.zip": lambda: builder.zip_bytes(
            {f"{n}.zip": builder.zip_bytes({"a": bytes(10_000_000)}) for n in range(9)}
        ),
    }
    if name in makers:
        content = makers[name]()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    writers: dict[str, Any] = {
        "entities.pptx": lambda: builder.write_pptx(path, {"ppt/slides/slide2.xml": ENTITIES}),
        "entities-in-a-sheet.xlsx": lambda: builder.write_xlsx(path, {"A": builder.sheet([["x"]]), "B": ENTITIES}),
        "entities-in-texts.xlsx": lambda: with_shared_texts(path, ENTITIES),
        "far.xlsx": lambda: builder.write_xlsx(path, {"A": builder.sheet([]).replace("<sheetData>", FAR_CELL)}),
        "full.xlsx": lambda: builder.write_xlsx(path, {"A": sheet_of(50_000, 50)}),
        "blanks.odt": lambda: builder.write_opendocument(path, "text", f"<text:p>x{BLANKS * 250_000}y</text:p>"),
        "levels.odt": lambda: builder.write_opendocument(path, "text", FAR_HEADING, FAR_LEVEL),
        "repeated.ods": lambda: builder.write_opendocument(path, "spreadsheet", REPEATED_CELL),
    }
    written: Path = writers[name]()
    return written


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("forms.pdf", {"too_complex", "timed_out"}),
        ("pages.pdf", {"too_large"}),
        ("twice.pdf", {"too_complex"}),
        ("words.pdf", {"too_complex", "timed_out"}),
        ("count.pdf", {"no_text", "corrupt"}),
        ("entities.xml", {"too_complex"}),
        ("long-entity.xml", {"too_complex"}),
        ("entities.odt", {"too_complex"}),
        ("entities.xlsx", {"too_complex"}),
        ("entities-in-a-sheet.xlsx", {"too_complex"}),
        ("entities-in-texts.xlsx", {"too_complex"}),
        ("entities.ods", {"too_complex"}),
        ("entities.fods", {"too_complex"}),
        ("entities.pptx", {"too_complex"}),
        ("entities.docx", {"too_complex"}),
        ("entities-in-types.docx", {"too_complex"}),
        ("entities.epub", {"too_complex"}),
        ("attributes.xml", {"ok"}),
        ("attributes.odt", {"ok"}),
        ("deep.xml", {"too_complex"}),
        ("deep.docx", {"too_complex"}),
        ("deep.html", {"too_complex"}),
        ("attributes.html", {"too_complex"}),
        ("menus.html", {"ok"}),
        ("deep.json", {"too_complex"}),
        ("long.txt", {"too_large"}),
        ("wide.csv", {"too_large"}),
        ("parts.eml", {"too_complex"}),
        ("bare-parts.eml", {"too_complex"}),
        ("groups.rtf", {"too_complex"}),
        ("nested.json", {"ok"}),
        ("nested.eml", {"too_complex"}),
        ("notes.pptx", {"ok"}),
        ("again.pptx", {"ok"}),
        ("again.epub", {"ok"}),
        ("parameters.eml", {"ok"}),
        ("addresses.eml", {"ok"}),
        ("bomb.zip", {"too_complex"}),
        ("bomb.docx", {"too_complex"}),
        ("bombs.zip", {"ok"}),
        ("far.xlsx", {"ok"}),
        ("full.xlsx", {"too_large"}),
        ("blanks.odt", {"too_large"}),
        ("levels.odt", {"ok"}),
        ("repeated.ods", {"too_large"}),
    ],
)
def test_ends_as_its_own_failure(sandbox: Sandbox, tmp_path: Path, name: str, codes: set[str]) -> None:
    code, message = outcome(sandbox, write(tmp_path, name))
    assert code in codes, message
    assert code == "ok" or re.search(r"[:;] \w", message), "the message says what to do"


def test_what_takes_too_long_is_timed_out(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("So many words. " * 1_300_000)
    code, message = outcome(sandbox, tmp_path / "long.txt", ChildLimits(MEMORY, 1))
    assert (code, "split" in message) == ("timed_out", True)


def test_others_go_on(sandbox: Sandbox, tmp_path: Path, samples: Path) -> None:
    """Another child of the same sandbox reads while one is at its limits."""

    async def main() -> tuple[Any, Any]:
        (tmp_path / "loop.pdf").write_bytes(laughing_forms(b"q Q "))
        files = ChildFiles((str(samples),), str(tmp_path))
        return await asyncio.gather(
            sandbox.run(*_call(tmp_path / "loop.pdf", tmp_path / "1"), limits=ChildLimits(MEMORY, 2), files=files),
            sandbox.run(*_call(samples / "notes.md", tmp_path / "2"), files=files),
            return_exceptions=True,
        )

    loop, notes = asyncio.run(main())
    assert isinstance(loop, ChildFailed)
    assert notes["fileType"] == "md"


def _call(path: Path, output: Path) -> tuple[str, dict[str, Any]]:
    arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100, "output": str(output)}
    return "documents.reading.pipeline:read_in_child", arguments


def test_no_file_of_the_machine_is_read_and_nothing_is_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        addresses = [secret.as_uri(), str(secret), f"http://127.0.0.1:{server.getsockname()[1]}/x"]
        for number, address in enumerate(addresses):
            for path in write_links(tmp_path / str(number), address):
                arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100}
                output = path.with_suffix(".out")
                read_in_child({**arguments, "output": str(output)})
                assert "swordfish" not in output.read_text(), path.name
        with pytest.raises(BlockingIOError):
            server.accept()


def write_links(folder: Path, address: str) -> Iterator[Path]:
    """A document of each format that can refer to external files."""
    folder.mkdir()
    entity = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{address}"><!ENTITY % p SYSTEM "{address}"> %p;]>'
    yield _text(folder / "a.xml", f"{entity}<a><b>&e; text</b><i xmlns:x='x' x:href='{address}'>more</i></a>")
    tags = "".join(f'<{tag} src="{address}" href="{address}"></{tag}>' for tag in ("img", "iframe", "script", "embed"))
    yield _text(folder / "a.html", f'<link rel="stylesheet" href="{address}"><body>text {tags}</body>')
    yield builder.write_opendocument(folder / "a.odt", "text", f'<text:p>text<draw:image x="{address}"/></text:p>')
    yield builder.write_epub(folder / "a.epub", {"a.xhtml": f'{entity}<p>text &e; <img src="{address}"/></p>'})
    yield _text(folder / "a.rtf", f'{{\\rtf1 text {{\\field{{\\*\\fldinst INCLUDETEXT "{address}"}}}}}}')
    yield _text(
        folder / "a.eml", f"Subject: x\nContent-Type: message/external-body; access-type=URL; URL={address}\n\nx"
    )
    action = b"/OpenAction << /S /URI /URI (%b) >>" % address.encode()
    page = builder.one_page(builder.stream(b"BT /F1 12 Tf 10 10 Td (text) Tj ET"))
    (folder / "a.pdf").write_bytes(page.replace(b"/Type /Catalog", b"/Type /Catalog " + action))
    yield folder / "a.pdf"
    document = docx.Document()
    document.add_paragraph("text")
    for kind in ("attachedTemplate", "image", "footnotes", "header", "oleObject"):
        document.part.relate_to(address, f"{builder.RELATIONSHIPS}/{kind}", is_external=True)
    document.save(str(folder / "a.docx"))
    yield folder / "a.docx"


def _text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path
