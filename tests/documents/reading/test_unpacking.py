"""Documents inside documents are unpacked into the child's folder."""

from pathlib import Path

import pytest
from pypdf import PdfWriter

from documents.parsers import parser_for
from documents.reading import unpacking
from documents.reading.pipeline import read
from documents.reading.unpacking import Unpacked, safe_name, unpack
from tests.support import builder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "members"
    folder.mkdir()
    return folder


def _unpack(path: Path, folder: Path | None) -> Unpacked:
    parser = parser_for("zip")
    assert parser
    return unpack(parser, path, folder)


def test_it_works(tmp_path: Path, folder: Path) -> None:
    parts: dict[str, str | bytes] = {"report/a.txt": "one", "../../etc/b.txt": "two", "empty.txt": ""}
    unpacked = _unpack(builder.write_zip(tmp_path / "a.zip", parts), folder)
    assert unpacked.members == [{"file": "0", "name": "a.txt"}, {"file": "1", "name": "b.txt"}]
    assert unpacked.warnings == ["empty.txt: empty, and left out."]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"0": "one", "1": "two", "2": ""}
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "members"}


def test_a_document_without_members(samples: Path, folder: Path) -> None:
    result = read(samples / "notes.md", "notes.md", members=folder)
    assert result["members"] == []


def test_a_mail_with_its_attachments(samples: Path, folder: Path) -> None:
    result = read(samples / "delivery.eml", "delivery.eml", members=folder)
    assert [member["name"] for member in result["members"]] == ["packing-list.csv", "Your order 2025-883.eml"]


def test_one_damaged_member_costs_that_member(tmp_path: Path, folder: Path) -> None:
    path = builder.write_zip(tmp_path / "a.zip", {"a.txt": "one two " * 90, "b.txt": "three"})
    data = bytearray(path.read_bytes())
    data[40:50] = bytes(10)
    path.write_bytes(data)
    unpacked = _unpack(path, folder)
    assert [member["name"] for member in unpacked.members] == ["b.txt"]
    assert unpacked.warnings == ["a.txt: damaged, and left out."]


def test_an_unreadable_file_is_a_warning_and_not_a_member(tmp_path: Path, folder: Path) -> None:
    parts: dict[str, str | bytes] = {
        "a.txt": "one",
        "sound.mp3": b"ID3\x03\0\0" + bytes(99),
        "tool.exe": b"MZ\x90\0" + bytes(99),
        "data.bin": bytes(range(256)),
        "sound.wav": b"ID3\x04\0\0" + bytes(99),
        "broken.docx": b"\x01\x02\x03" + bytes(99),
        "cut.pdf": b"%PDF-1.7\n1 0 obj\n",
        "z.txt": "two",
    }
    unpacked = _unpack(builder.write_zip(tmp_path / "a.zip", parts), folder)
    assert [member["name"] for member in unpacked.members] == ["a.txt", "broken.docx", "cut.pdf", "z.txt"]
    assert [member["file"] for member in unpacked.members] == ["0", "5", "6", "7"]
    warned = "\n".join(unpacked.warnings)
    assert all(name in warned for name in ("sound.mp3", "tool.exe", "data.bin", "sound.wav"))
    assert "sound.mp3, sound.wav: left out. This is a sound file, which cannot be read" in warned
    assert "broken" not in warned


def test_a_picture_attached_to_a_pdf_is_a_warning(samples: Path, tmp_path: Path, folder: Path) -> None:
    writer = PdfWriter(clone_from=samples / "quarterly-sales-report.pdf")
    writer.add_attachment("note.txt", b"A note")
    writer.add_attachment("photo.gif", b"GIF89a\1\0\1\0\0\0\0;" + bytes(99))
    writer.write(tmp_path / "a.pdf")
    result = read(tmp_path / "a.pdf", "a.pdf", members=folder)
    assert [member["name"] for member in result["members"]] == ["note.txt"]
    assert [warning.split(":")[0] for warning in result["warnings"]] == ["photo.gif"]


def test_too_many_members(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 2)
    unpacked = _unpack(builder.write_zip(tmp_path / "a.zip", {f"{n}.txt": "x" for n in range(3)}), folder)
    assert len(unpacked.members) == 2
    assert unpacked.warnings == ["Only the first 2 documents inside were unpacked: split the file."]


def test_too_much_in_them(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", 10)
    unpacked = _unpack(builder.write_zip(tmp_path / "a.zip", {f"{n}.txt": "x" * 6 for n in range(9)}), folder)
    assert len(unpacked.members) == 1
    assert unpacked.warnings == ["Only the first 1 documents inside were unpacked: split the file."]


def test_nested_too_deeply(tmp_path: Path) -> None:
    unpacked = _unpack(builder.write_zip(tmp_path / "a.zip", {"a.txt": "x"}), None)
    assert unpacked == Unpacked(warnings=["What is inside is nested too deeply: it was not unpacked."])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.txt", "a.txt"),
        ("../../../etc/passwd", "passwd"),
        ("C:\\Users\\eva\\b.docx", "b.docx"),
        ("fdp.\u202eexe", "fdp. exe"),
        ("a\0\nb.txt", "a b.txt"),
        ("..", "unnamed"),
        ("folder/", "unnamed"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        (".hidden", ".hidden"),
        ("Übersicht 第1章.odt", "Übersicht 第1章.odt"),
    ],
)
def test_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
