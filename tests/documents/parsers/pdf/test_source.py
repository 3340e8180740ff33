"""PDFs behind other bytes, and PDFs with a damaged beginning."""

from pathlib import Path

import pytest

from documents.errors import Corrupt, WrongType
from documents.parsers.pdf.parser import PdfParser
from documents.reading.pipeline import read


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\r\n\r\n\n",
        b"\n\xa0\xa4\x03",
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/pdf\r\nContent-Length: 812\r\n\r\n",
        b"@PJL JOB\r\n",
        b"x" * 1_024,
        b"\x00\x01\x02" * 5_000,
        b"MZ\x90\x00",
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["a.pdf", "download"])
def test_a_pdf_behind_other_bytes(samples: Path, tmp_path: Path, before: bytes, name: str) -> None:
    path = tmp_path / "stored"
    path.write_bytes(before + (samples / "quarterly-sales-report.pdf").read_bytes())
    document = read(path, name)
    assert document["fileType"] == "pdf"
    assert len(document["pages"]) == 3
    assert "Harbour Supplies ordered for 819,000 euros" in document["pages"][1]
    assert document["warnings"] == []


@pytest.mark.parametrize("damage", [b"", b"%PD", b"\0" * 9, b"%!PS-Adobe-3.0", b"<html></html>"], ids=repr)
def test_a_damaged_beginning(samples: Path, tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "stored"
    path.write_bytes(damage + (samples / "quarterly-sales-report.pdf").read_bytes()[9:])
    document = read(path, "a.pdf")
    assert "Harbour Supplies ordered for 819,000 euros" in document["pages"][1]
    assert document["warnings"] == ["The beginning of the file is damaged: pages may be missing."]


@pytest.mark.parametrize("lost", [0.5, 0.9, 0.99])
def test_only_its_end_shows_that_it_is_a_pdf(samples: Path, tmp_path: Path, lost: float) -> None:
    whole = (samples / "quarterly-sales-report.pdf").read_bytes()
    path = tmp_path / "stored"
    path.write_bytes(b"\xa5" * int(lost * len(whole)) + whole[int(lost * len(whole)) :])
    with pytest.raises(Corrupt):
        read(path, "a.pdf")


def test_a_text_that_quotes_a_pdf_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_text("A file begins with\n%PDF-1.7\n1 0 obj\nand ends with\nstartxref 9\n%%EOF\n")
    assert read(path, "a.txt")["fileType"] == "txt"
    path.write_text("A file begins with\n%PDF-1.7\n1 0 obj\nand there is more to say.\n" + "And more. " * 300)
    assert read(path, "a")["fileType"] == "txt"


def test_binary_data_with_the_name_of_a_pdf(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(WrongType):
        read(path, "a.pdf")


def test_attachments_of_a_pdf_behind_other_bytes(samples: Path, tmp_path: Path) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter(clone_from=samples / "quarterly-sales-report.pdf")
    writer.add_attachment("note.txt", b"A note")
    plain, path = tmp_path / "plain", tmp_path / "stored"
    writer.write(plain)
    path.write_bytes(b"\n" * 2_000 + plain.read_bytes())
    parser = PdfParser()
    parser.parse(path, lambda done, total: None)
    assert [(member.name, b"".join(member.blocks)) for member in parser.members(path)] == [("note.txt", b"A note")]
