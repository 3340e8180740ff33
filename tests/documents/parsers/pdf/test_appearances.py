"""Words that annotations draw: visible signatures and stamps."""

from pathlib import Path

import pytest

from documents.parsers.pdf.parser import PdfParser
from tests.documents.parsers.pdf.pdf_files import pdf_file, stream

SIGNED = b"BT /F1 10 Tf 5 30 Td (Signed by Paula Pelican) Tj 0 -12 Td (2024-03-15 10:00) Tj ET"
FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 200 50]/Resources<</Font<</F1 5 0 R>>/XObject<</n0 8 0 R>>>>"


def _page(folder: Path, annotation: bytes, *, layered: bool = False, text: bytes = b"The contract.") -> str:
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]/SigFlags 3>>>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 400]/Contents 4 0 R/Annots[6 0 R]"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        4: stream(b"BT /F1 12 Tf 50 350 Td (" + text + b") Tj ET"),
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        6: b"<</Type/Annot/Rect[50 50 250 100]/P 3 0 R/AP<</N 7 0 R>>" + annotation + b">>",
        7: stream(b"/n0 Do" if layered else SIGNED, FORM),
        8: stream(SIGNED, FORM.replace(b"/XObject<</n0 8 0 R>>", b"")),
    }
    path = folder / "a.pdf"
    path.write_bytes(pdf_file(objects))
    return PdfParser().parse(path, lambda done, total: None).pages[0]


@pytest.mark.parametrize(
    "annotation",
    [
        b"/Subtype/Widget/FT/Sig/T(Signature1)/F 4",
        b"/Subtype/Widget/FT/Sig/T(Signature1)/F 132/V<</Type/Sig/Filter/Adobe.PPKLite/Name(Paula)/Contents<00>>>",
        b"/Subtype/Stamp/F 4",
        b"/Subtype/FreeText/F 4/DA(/F1 10 Tf)",
        b"/Subtype/Watermark/F 4",
    ],
)
@pytest.mark.parametrize("layered", [False, True])
def test_words_of_annotations(tmp_path: Path, annotation: bytes, layered: bool) -> None:
    page = _page(tmp_path, annotation, layered=layered)
    assert page.splitlines() == ["The contract.", "Signed by Paula Pelican", "2024-03-15 10:00"]


@pytest.mark.parametrize("flags", [2, 32, 34])
def test_hidden_annotations(tmp_path: Path, flags: int) -> None:
    assert _page(tmp_path, b"/Subtype/Stamp/F %d" % flags) == "The contract."


def test_words_that_are_known_are_not_repeated(tmp_path: Path) -> None:
    page = _page(tmp_path, b"/Subtype/FreeText/F 4/Contents(Signed by Paula Pelican 2024-03-15 10:00)")
    assert page.splitlines() == ["The contract.", "Signed by Paula Pelican 2024-03-15 10:00"]
