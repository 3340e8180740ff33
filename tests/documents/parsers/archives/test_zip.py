import struct
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from documents.errors import Corrupt
from documents.parsers.archives.zip import ZipParser
from tests.documents.parsers.parsing import members, parse
from tests.support import builder


class _Raw(ZipInfo):
    """A member whose name is in its own encoding, without the flag for UTF-8, as old programs write it."""

    raw = b""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, self.flag_bits & ~0x800


def _archive(folder: Path, names: list[bytes], extra: bytes = b"") -> Path:
    path = folder / "a.zip"
    with ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            member = _Raw(f"{number}.txt")
            member.raw, member.extra = name, extra
            archive.writestr(member, "text")
    return path


def _names(path: Path) -> list[str]:
    names = [member.name for member in ZipParser().members(path)]
    assert ZipParser().parse(path, lambda done, total: None).pages == ["\n".join(names)]
    return names


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp850", ["Rechnung März.txt", "Übersicht.txt"]),
        ("cp437", ["Rechnung März.txt", "Übersicht.txt"]),
        ("cp850", ["Größe.pdf"]),
        ("cp1252", ["Rechnung März.txt", "Übersicht.txt"]),
        ("cp932", ["文章1.txt", "文章2.txt"]),
        ("cp932", ["請求書.pdf", "見積書_2024.xlsx"]),
        ("cp866", ["Отчёт за март.txt", "Договор.docx"]),
        ("cp1251", ["Отчёт за март.txt", "Договор.docx"]),
        ("gb18030", ["发票.pdf", "合同文件.docx"]),
        ("big5", ["發票.pdf", "合約文件.docx"]),
        ("cp949", ["계산서.pdf", "회의록.docx"]),
        ("cp852", ["Zażółć gęślą.txt", "Příloha č. 2.txt"]),
        ("cp1255", ["חשבונית מרץ.pdf", "סיכום ישיבה.docx"]),
        ("cp737", ["Τιμολόγιο Μαρτίου.pdf"]),
        ("utf-8", ["Rechnung März.txt", "Отчёт.txt", "文章.txt"]),
    ],
)
def test_names_in_their_code_pages(tmp_path: Path, encoding: str, names: list[str]) -> None:
    assert _names(_archive(tmp_path, [name.encode(encoding) for name in names])) == names


def test_a_name_in_the_extra_field(tmp_path: Path) -> None:
    name = "Übersicht 文章.txt"
    field = struct.pack("<BI", 1, 0) + name.encode()
    assert _names(_archive(tmp_path, [b"?bersicht ??.txt"], struct.pack("<HH", 0x7075, len(field)) + field)) == [name]


def test_names_in_utf_8_with_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("März.txt", "text")
    assert _names(path) == ["März.txt"]


def test_an_archive_lists_its_members(tmp_path: Path) -> None:
    parts: dict[str, str | bytes] = {
        "report/": "",
        "report/a.txt": "one",
        "../../b.txt": "two",
        "__MACOSX/._a.txt": "x",
        "report/.DS_Store": "x",
    }
    path = builder.write_zip(tmp_path / "a.zip", parts)
    assert parse(path).pages == ["report/a.txt\n../../b.txt"]
    assert members(path) == {"report/a.txt": b"one", "../../b.txt": b"two"}


def test_links_in_an_archive_are_no_documents(tmp_path: Path) -> None:
    link = ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "one")
    assert members(tmp_path / "a.zip") == {"a.txt": b"one"}


def test_a_damaged_member_is_corrupt(tmp_path: Path) -> None:
    path = builder.write_zip(tmp_path / "a.zip", {"a.txt": "one two three " * 100})
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        members(path)
