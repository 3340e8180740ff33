from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from documents.errors import Corrupt, DocumentError, Empty, Encrypted, TooComplex, UnsupportedType, WrongType
from documents.parsers import readable_formats
from documents.parsers.file_structures.zip_limits import MAX_ENTRIES
from documents.reading.format_detection import detect
from documents.reading.pipeline import read
from tests.support import builder
from tests.support.ole_builder import write_ole

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _package(path: Path, main: str, content_type: str) -> Path:
    with ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml", f'<Types><Override PartName="/{main}" ContentType="{content_type}"/></Types>'
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships><Relationship Type="http://x/officeDocument" Target="{main}"/></Relationships>',
        )
        archive.writestr(main, "<x/>")
    return path


def _detect(path: Path, filename: str = "") -> tuple[str, bool]:
    detected = detect(path, filename or path.name, readable_formats())
    return detected.format, bool(detected.warnings)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("quarterly-sales-report.pdf", "pdf"),
        ("service-contract.docx", "docx"),
        ("contacts.csv", "csv"),
        ("notes.md", "md"),
        ("policy.html", "html"),
        ("meeting-minutes.txt", "txt"),
    ],
)
def test_it_works(samples: Path, name: str, format_name: str) -> None:
    assert _detect(samples / name) == (format_name, False)


@pytest.mark.parametrize(
    ("content", "name", "format_name"),
    [
        (b"plain words", "server.log", "txt"),
        (b"plain words", "README", "txt"),
        (b"a,b\n1,2\n3,4\n", "export", "csv"),
        (b"<!-- a --><!DOCTYPE html><p>x", "page", "html"),
        (b'<?xml version="1.0"?>\n<html xmlns="x"/>', "page.xhtml", "html"),
        (b"\n\n%PDF-1.4", "a.pdf", "pdf"),
        (b"MZ is how this sentence begins.", "a.txt", "txt"),
        (b"a\tb\n1\t2\n", "table.tab", "tsv"),
        (b"{\\rtf1 text}", "letter.rtf", "rtf"),
        (b"From: a@b.c\nSubject: x\n\nHello", "mail.eml", "eml"),
        (b"MIME-Version: 1.0\n\nHello", "page.mht", "eml"),
        (b"<?xml version='1.0'?><data/>", "data.xml", "xml"),
        (b'{"a": 1}', "data.ndjson", "json"),
        (OLE2 + "Workbook".encode("utf-16-le"), "old.xls", "xls"),
    ],
)
def test_content_and_name_agree(tmp_path: Path, content: bytes, name: str, format_name: str) -> None:
    assert _detect(_file(tmp_path, name, content)) == (format_name, False)


@pytest.mark.parametrize(
    ("sample", "name", "format_name"),
    [
        ("quarterly-sales-report.pdf", "report.docx", "pdf"),
        ("service-contract.docx", "contract.pdf", "docx"),
        ("policy.html", "policy.pdf", "html"),
        ("policy.html", "policy.csv", "html"),
        ("meeting-minutes.txt", "minutes.docx", "txt"),
    ],
)
def test_a_wrong_name_is_a_warning(samples: Path, sample: str, name: str, format_name: str) -> None:
    assert _detect(samples / sample, name) == (format_name, True)


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [
        (b"", "a.pdf", Empty),
        (PNG, "data.csv", WrongType),
        (PNG, "photo.png", UnsupportedType),
        (b"MZ\x90\x00\x03" + bytes(50), "setup.pdf", WrongType),
        (bytes(range(256)) * 40, "a.txt", WrongType),
        (bytes(range(256)) * 40, "a.bin", UnsupportedType),
        (b"\x78\x9f\x3e\x22" + bytes(50), "winmail.dat", UnsupportedType),
        (OLE2 + "EncryptedPackage".encode("utf-16-le"), "secret.docx", Encrypted),
        (b"PK\x03\x04 and nothing more", "cut.docx", Corrupt),
    ],
)
def test_refused(tmp_path: Path, content: bytes, name: str, error: type[DocumentError]) -> None:
    with pytest.raises(error):
        _detect(_file(tmp_path, name, content))


@pytest.mark.parametrize(
    ("stream", "format_name"),
    [
        ("WordDocument", "doc"),
        ("WORDDOCUMENT", "doc"),
        ("PowerPoint Document", "ppt"),
        ("__properties_version1.0", "msg"),
        ("Workbook", "xls"),
        ("Book", "xls"),
    ],
)
def test_old_office_files(tmp_path: Path, stream: str, format_name: str) -> None:
    """The streams in the container decide the format, not the file's name."""
    assert _detect(write_ole(tmp_path / "stored", {stream: b"x"})) == (format_name, False)


@pytest.mark.parametrize(("stream", "name"), [("WordDocument", "a.docx"), ("PowerPoint Document", "a.pptx")])
def test_an_old_format_under_the_new_name(tmp_path: Path, stream: str, name: str) -> None:
    """Word and PowerPoint refuse it as well."""
    with pytest.raises(WrongType, match=rf"ending \.{name[2:5]}\."):
        _detect(write_ole(tmp_path / name, {stream: b"x"}))


@pytest.mark.parametrize(("stream", "format_name"), [("WordDocument", "doc"), ("__substg1.0_", "msg")])
def test_a_damaged_container(tmp_path: Path, stream: str, format_name: str) -> None:
    assert _detect(_file(tmp_path, "stored", OLE2 + stream.encode("utf-16-le"))) == (format_name, False)


def test_a_picture_gets_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedType, match=r"ask the operator .* to install it"):
        _detect(_file(tmp_path, "photo.png", PNG))


@pytest.mark.parametrize("main", ["FixedDocumentSequence", "visio"])
def test_an_office_file_of_another_kind(tmp_path: Path, main: str) -> None:
    with pytest.raises(UnsupportedType, match="save it as PDF"):
        _detect(_package(tmp_path / "a.xps", "main.xml", main))


@pytest.mark.parametrize("part", ["META-INF/MANIFEST.MF", "Index/Document.iwa"])
def test_archives_that_are_programs_or_documents_of_others(tmp_path: Path, part: str) -> None:
    with ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(part, "")
    with pytest.raises(UnsupportedType):
        _detect(tmp_path / "a")


def test_a_package_without_its_main_part_is_corrupt(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("_rels/.rels", "<Relationships/>")
    with pytest.raises(Corrupt):
        _detect(tmp_path / "a.docx")


def test_an_encrypted_opendocument_text(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.odt", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("META-INF/manifest.xml", "<manifest:encryption-data/>")
    with pytest.raises(Encrypted):
        _detect(tmp_path / "a.odt")


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.docx", "w", ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(30_000_000))
    with pytest.raises(TooComplex):
        _detect(tmp_path / "a.docx")


def test_a_zip_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.docx", "w") as archive:
        for number in range(MAX_ENTRIES + 1):
            archive.writestr(str(number), "")
    with pytest.raises(TooComplex):
        _detect(tmp_path / "a.docx")


def test_a_format_of_another_app_goes_by_its_name(tmp_path: Path) -> None:
    path = _file(tmp_path, "meeting.ics", b"BEGIN:VCALENDAR\n")
    assert detect(path, path.name, readable_formats() | {"ics"}).format == "ics"
    assert detect(path, path.name, readable_formats()).format == "txt"


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (b"From: a@b.c\nTo: d@e.f\nSubject: x\n\nHello", "eml"),
        (b'{"a": [1, 2]}', "json"),
        (b"[1, 2", "txt"),
        (b"Note: this is no mail\nSubject: to change\n\nHello", "txt"),
        (b"<?xml version='1.0'?><data>1</data>", "xml"),
    ],
)
def test_without_a_name_the_content_says_it(tmp_path: Path, content: bytes, format_name: str) -> None:
    assert read(_file(tmp_path, "file", content), "file")["fileType"] == format_name


@pytest.mark.parametrize("name", ["slides", "sheet.docx", "text.pdf", "book.txt"])
def test_the_content_decides(tmp_path: Path, name: str) -> None:
    makers: dict[str, tuple[Callable[[Path], Path], str]] = {
        "slides": (builder.write_pptx, "pptx"),
        "sheet.docx": (lambda path: builder.write_xlsx(path, {"A": builder.sheet([["x"]])}), "xlsx"),
        "text.pdf": (lambda path: builder.write_opendocument(path, "text", "<text:p>One</text:p>"), "odt"),
        "book.txt": (lambda path: builder.write_epub(path, {"a.xhtml": "<p>One</p>"}), "epub"),
    }
    make, format_name = makers[name]
    result = read(make(tmp_path / name), name)
    assert result["fileType"] == format_name
    assert len(result["warnings"]) == (1 if "." in name else 0)
