"""Streams whose filters are odd: abbreviated, empty, cut off, unknown."""

import base64
import zlib
from pathlib import Path

import pytest

from documents.errors import DocumentError
from documents.parsers.pdf.parser import PdfParser
from tests.documents.parsers.pdf.pdf_files import pdf_file, stream

TEXT = b"BT /F1 12 Tf 50 350 Td (The inspection of the pump) Tj ET"
BASE_85 = base64.a85encode(TEXT, adobe=True)[2:]
RUNS = bytes([len(TEXT) - 1]) + TEXT + b"\x80"


def _page(folder: Path, filters: bytes, data: bytes) -> str:
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 400]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        4: stream(data, b"/Filter " + filters),
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    path = folder / "a.pdf"
    path.write_bytes(pdf_file(objects))
    return PdfParser().parse(path, lambda done, total: None).pages[0]


@pytest.mark.parametrize(
    ("filters", "data"),
    [
        (b"/A85", BASE_85),
        (b"/ASCII85Decode", b"<~" + BASE_85),
        (b"/ASCII85Decode", BASE_85[:-2]),
        (b"/ASCII85Decode", b"\n".join(BASE_85[place : place + 7] for place in range(0, len(BASE_85), 7))),
        (b"/AHx", TEXT.hex().encode() + b">"),
        (b"/ASCIIHexDecode", TEXT.hex(" ").encode()),
        (b"/RL", RUNS),
        (b"/RunLengthDecode", RUNS[:-1]),
        (b"/Fl", zlib.compress(TEXT)),
        (b"/FlateDecode/DecodeParms 7", zlib.compress(TEXT)),
        (b"[/A85 /Fl]", base64.a85encode(zlib.compress(TEXT), adobe=True)[2:]),
        (b"[]", TEXT),
        (b"null", TEXT),
    ],
)
def test_odd_filters_are_read(tmp_path: Path, filters: bytes, data: bytes) -> None:
    assert _page(tmp_path, filters, data) == "The inspection of the pump"


@pytest.mark.parametrize(
    ("filters", "data"),
    [
        (b"/Fl", b""),
        (b"/FlateDecode", b"   \n"),
        (b"/A85", b""),
        (b"/LZW", b""),
        (b"/LZWDecode", b"\xff\xff\xff"),
        (b"/RunLengthDecode", b"\xff"),
        (b"/FlateDecode/DecodeParms<</Predictor 99>>", zlib.compress(TEXT)),
        (b"/FooDecode", b"\xff\xff"),
        (b"/JBIG2Decode", b"\xff\xff"),
        (b"/DCTDecode", b""),
    ],
)
def test_a_stream_that_cannot_be_unpacked_has_a_reason(tmp_path: Path, filters: bytes, data: bytes) -> None:
    with pytest.raises(DocumentError) as error:
        _page(tmp_path, filters, data)
    assert error.value.code in {"corrupt", "no_text"}
