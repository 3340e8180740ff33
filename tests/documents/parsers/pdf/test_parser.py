import time
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

from documents.errors import Corrupt, Encrypted, NeedsOcr, NoText, TooComplex
from documents.parsers import ParsedDocument
from documents.parsers.pdf.parser import PdfParser
from documents.parsers.pdf.repair import repair
from documents.reading.pipeline import read
from tests.support import builder


def _parse(path: Path) -> ParsedDocument:
    return PdfParser().parse(path, lambda done, total: None)


def _written(folder: Path, writer: PdfWriter) -> Path:
    path = folder / "a.pdf"
    writer.write(path)
    return path


def _add_page(writer: PdfWriter, content: bytes, resources: DictionaryObject | None = None) -> None:
    page = writer.add_blank_page(200, 200)
    stream = DecodedStreamObject()
    stream.set_data(content)
    page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    page[NameObject("/Resources")] = resources or DictionaryObject()


def _font() -> DictionaryObject:
    helvetica = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(key): NameObject(value) for key, value in helvetica.items()})
    return DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})


def _picture(writer: PdfWriter) -> DictionaryObject:
    image = DecodedStreamObject()
    image.set_data(b"\x00")
    image[NameObject("/Subtype")] = NameObject("/Image")
    image[NameObject("/Width")] = image[NameObject("/Height")] = NumberObject(1)
    objects = DictionaryObject({NameObject("/Im0"): writer._add_object(image)})
    return DictionaryObject({NameObject("/XObject"): objects})


def _text(words: str) -> bytes:
    return f"BT /F1 12 Tf 10 100 Td ({words}) Tj ET".encode("latin-1")


def test_it_works(samples: Path) -> None:
    progress: list[tuple[int, int]] = []
    document = PdfParser().parse(
        samples / "quarterly-sales-report.pdf", lambda done, total: progress.append((done, total))
    )
    assert len(document.pages) == 3
    assert "Harbour Supplies ordered for 819,000 euros" in document.pages[1]
    assert document.metadata["title"] == "Quarterly Sales Report, Q3 2025"
    assert document.metadata["author"] == "Northwind Lantern Company"
    assert document.warnings == []
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_an_empty_user_password_opens(samples: Path, tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=samples / "quarterly-sales-report.pdf")
    writer.encrypt(user_password="", owner_password="secret", algorithm="RC4-128")
    assert "Recommendations" in _parse(_written(tmp_path, writer)).pages[2]


def test_aes_with_an_empty_user_password_opens(samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="pypdf needs it for AES")
    writer = PdfWriter(clone_from=samples / "quarterly-sales-report.pdf")
    writer.encrypt(user_password="", owner_password="secret", algorithm="AES-256")
    assert "Recommendations" in _parse(_written(tmp_path, writer)).pages[2]


def test_a_password_is_refused(samples: Path, tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=samples / "quarterly-sales-report.pdf")
    writer.encrypt(user_password="secret", algorithm="RC4-128")
    with pytest.raises(Encrypted):
        _parse(_written(tmp_path, writer))


def test_a_blank_page_has_no_text(tmp_path: Path) -> None:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    with pytest.raises(NoText):
        _parse(_written(tmp_path, writer))


def test_a_scan_needs_ocr(tmp_path: Path) -> None:
    writer = PdfWriter()
    _add_page(writer, b"/Im0 Do", _picture(writer))
    with pytest.raises(NeedsOcr):
        _parse(_written(tmp_path, writer))


def test_scanned_pages_among_others_are_a_warning(tmp_path: Path) -> None:
    writer = PdfWriter()
    _add_page(writer, _text("Readable"), _font())
    _add_page(writer, b"/Im0 Do", _picture(writer))
    _add_page(writer, b"/Im0 Do", _picture(writer))
    document = _parse(_written(tmp_path, writer))
    assert [page.strip() for page in document.pages] == ["Readable", "", ""]
    assert document.warnings == ["2 of 3 pages: a picture without text, which needs text recognition (OCR) (2-3)."]


def test_a_garbled_text_layer_needs_ocr(tmp_path: Path) -> None:
    writer = PdfWriter()
    _add_page(writer, _text(r"\001\002\003\004\005\006 \016\017\020"), _font())
    with pytest.raises(NeedsOcr, match="garbled"):
        _parse(_written(tmp_path, writer))


def test_a_damaged_page_costs_that_page(tmp_path: Path) -> None:
    writer = PdfWriter()
    for words in ("First", "Second", "Third"):
        _add_page(writer, _text(words), _font())
    kids = writer.root_object["/Pages"]["/Kids"]  # type: ignore[index]
    kids[1] = writer._add_object(NumberObject(7))
    document = _parse(_written(tmp_path, writer))
    assert [page.strip() for page in document.pages] == ["First", "", "Third"]
    assert document.warnings == ["1 of 3 pages: damaged, and read in part or not at all (2)."]


def test_what_can_be_read_of_a_damaged_page_is_read(tmp_path: Path) -> None:
    writer = PdfWriter()
    _add_page(writer, _text("Second") + b"\nBT ) Tj ET", _font())
    assert _parse(_written(tmp_path, writer)).pages[0].strip() == "Second"


def test_a_page_that_inflates_beyond_the_limit(tmp_path: Path) -> None:
    writer = PdfWriter()
    _add_page(writer, b" " * 120_000_000, _font())
    with pytest.raises(TooComplex):
        _parse(_written(tmp_path, writer))


def test_a_cut_off_file_is_corrupt(samples: Path, tmp_path: Path) -> None:
    whole = (samples / "quarterly-sales-report.pdf").read_bytes()
    path = tmp_path / "a.pdf"
    path.write_bytes(whole[: len(whole) * 4 // 10])
    with pytest.raises(Corrupt):
        _parse(path)


def test_a_last_revision_without_its_end_is_a_warning(samples: Path, tmp_path: Path) -> None:
    whole = (samples / "quarterly-sales-report.pdf").read_bytes()
    path = tmp_path / "a.pdf"
    path.write_bytes(whole + b"99 0 obj << /Length 9000 >> stream\n" + b"x" * 4000)
    assert any("no end mark" in warning for warning in _parse(path).warnings)


def test_ligatures_become_letters(tmp_path: Path) -> None:
    writer = PdfWriter()
    resources = _font()
    table = DecodedStreamObject()
    table.set_data(b"1 beginbfchar <41> <FB01> endbfchar")
    resources["/Font"]["/F1"][NameObject("/ToUnicode")] = writer._add_object(table)  # type: ignore[index]
    _add_page(writer, _text("A"), resources)
    assert _parse(_written(tmp_path, writer)).pages[0].strip() == "fi"


def test_the_sample_is_a_plain_file(samples: Path) -> None:
    data = (samples / "quarterly-sales-report.pdf").read_bytes()
    assert not PdfReader(BytesIO(data)).is_encrypted


@pytest.mark.parametrize(
    ("pages", "repaired"),
    [
        (["a res\ufffetaurant"], ["a restaurant"]),
        (["like-for\ufffelike", "like-for-like"], ["like-for-like", "like-for-like"]),
        (["a well\ufffeknown", "very well known, as well known"], ["a well-known", "very well known, as well known"]),
        (["state-of\ufffethe", "not under\ufffestood"], ["state-of-the", "not understood"]),
        (["with\ufffein", "in with, in with"], ["within", "in with, in with"]),
        (["COVID\ufffe19 and PK\ufffeLQP"], ["COVID-19 and PK-LQP"]),
        (["di\ufffdcult", "Difficult"], ["difficult", "Difficult"]),
        (["a\ufffdb"], ["a\ufffdb"]),
        (["a\x03b \x02 b\x04c 1\x052\tc\n"], ["a\ufffdb   b\ufffdc 1 2\tc\n"]),
        (
            ["e\x1ecient, the o\x0ece, sta\x1b, \x1clter, a\x1eliate"],
            ["efficient, the office, staff, filter, affiliate"],
        ),
        (["a \rab, approa\rh, dis\rourse"], ["a  ab, approa\ufffdh, dis\ufffdourse"]),
        (["\x10Workers\x11 10\x1512"], ["“Workers” 10–12"]),
    ],
)
def test_repair(pages: list[str], repaired: list[str]) -> None:
    assert repair(pages) == repaired


def test_repair_takes_time_that_is_linear_in_the_text() -> None:
    start = time.process_time()
    repair(["x" * 1_000_000 + "\ufffe" + "y" * 1_000_000])
    assert time.process_time() - start < 2


def _page_with(folder: Path, *annotations: bytes, text: bytes = b"A form") -> Path:
    places = b" ".join(b"%d 0 R" % number for number in range(6, 6 + len(annotations)))
    entries = [b"<< /Type /Annot /Rect [0 0 9 9] /P 3 0 R /F 4 %b >>" % annotation for annotation in annotations]
    page = builder.one_page(builder.stream(b"BT /F1 12 Tf 10 10 Td (%b) Tj ET" % text), *entries)
    page = page.replace(b"/Type /Catalog", b"/Type /Catalog /AcroForm << /Fields [%b] >>" % places)
    (folder / "a.pdf").write_bytes(page.replace(b"/Type /Page ", b"/Type /Page /Annots [%b] " % places))
    return folder / "a.pdf"


def test_form_fields(tmp_path: Path) -> None:
    states = b"/AP << /N << /Off 5 0 R /%b 5 0 R >> >>"
    path = _page_with(
        tmp_path,
        b"/Subtype /Widget /FT /Tx /T (city) /TU (Your city) /V (Utrecht)",
        b"/Subtype /Widget /FT /Btn /T (privacy) /TU (I agree) /V /Yes /AS /Yes " + states % b"Yes",
        b"/Subtype /Widget /FT /Btn /T (newsletter) /V /Off /AS /Off " + states % b"weekly",
        b"/Subtype /Widget /FT /Btn /Ff 32768 /T (delivery) /V /express /AS /express " + states % b"express",
        b"/Subtype /Widget /FT /Ch /Ff 131072 /TU (Country) /T (c) /V (nl) /Opt [[(de) (Germany)] [(nl) (Holland)]]",
        b"/Subtype /Widget /FT /Ch /Ff 2097152 /T (l) /V [(Lamps) (Oil)] /Opt [(Lamps) (Wicks) (Oil)]",
    )
    filled = ["Your city: Utrecht", "I agree: Yes", "delivery: express", "Country: Holland", "Lamps, Oil"]
    assert _parse(path).pages[0].split("\n") == ["A form", *filled]


def test_comments(tmp_path: Path) -> None:
    path = _page_with(
        tmp_path,
        b"/Subtype /Text /Contents (Ask Eva)",
        b"/Subtype /Highlight /Contents (Still true?)",
        b"/Subtype /StrikeOut /Contents (Drop this)",
        b"/Subtype /Stamp /Contents (Approved by Ada)",
        b"/Subtype /FreeText /Contents (In the margin)",
        b"/Subtype /Underline /Contents (A  form)",
        b"/Subtype /Link /Contents (A link's tip)",
        b"/Subtype /Text /Contents (Hidden)",
    )
    data = path.read_bytes()
    path.write_bytes(data.replace(b"/F 4 /Subtype /Text /Contents (H", b"/F 2 /Subtype /Text /Contents (H"))
    comments = ["Ask Eva", "Still true?", "Drop this", "Approved by Ada", "In the margin"]
    assert _parse(path).pages[0].split("\n") == ["A form", *comments]


def test_attached_files(tmp_path: Path) -> None:
    """Files are attached to the document and to places on its second page. One of them is damaged."""
    writer = PdfWriter()
    for words in ("First", "Second"):
        _add_page(writer, _text(words), _font())
    writer.add_attachment("invoice.xml", b"<total>819</total>")
    pins = [_pinned(writer, b"budget"), _pinned(writer, b"")]
    del pins[1]["/FS"]["/EF"]  # type: ignore[attr-defined]
    writer.pages[1][NameObject("/Annots")] = ArrayObject(pins)
    result = read(_written(tmp_path, writer), "a.pdf", members=tmp_path)
    assert [member["name"] for member in result["members"]] == ["invoice.xml", "plan.txt"]
    assert [(tmp_path / member["file"]).read_bytes() for member in result["members"]] == [
        b"<total>819</total>",
        b"budget",
    ]
    assert result["warnings"] == ["plan.txt: damaged, and left out."]


def _pinned(writer: PdfWriter, data: bytes) -> DictionaryObject:
    file = DecodedStreamObject()
    file.set_data(data)
    places = DictionaryObject({NameObject("/F"): writer._add_object(file)})
    name = TextStringObject("plan.txt")
    spec = {"/Type": NameObject("/Filespec"), "/F": name, "/EF": places}
    pin = {
        "/Type": NameObject("/Annot"),
        "/Subtype": NameObject("/FileAttachment"),
        "/Rect": ArrayObject(map(NumberObject, (0, 0, 9, 9))),
        "/FS": DictionaryObject({NameObject(key): value for key, value in spec.items()}),
    }
    return DictionaryObject({NameObject(key): value for key, value in pin.items()})
