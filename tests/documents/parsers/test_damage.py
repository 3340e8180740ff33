"""Damaged files of several formats."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from documents.errors import Corrupt, DocumentError
from documents.reading.pipeline import read
from tests.documents.parsers.mail.test_msg import MAIL, PACKED, SENT
from tests.documents.parsers.parsing import parse
from tests.support import builder
from tests.support.ole_builder import DELETED, doc, msg, ole, ppt, write_ole


@pytest.mark.parametrize("name", ["a.pptx", "a.odt", "a.epub", "a.xlsx", "a.ods"])
def test_a_damaged_part_is_corrupt(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    makers = {
        "a.pptx": lambda: builder.write_pptx(path),
        "a.odt": lambda: builder.write_opendocument(path, "text", "<text:p>One</text:p>" * 500),
        "a.ods": lambda: builder.write_opendocument(path, "spreadsheet", "<table:table/>" * 500),
        "a.epub": lambda: builder.write_epub(path, {"a.xhtml": "<p>One</p>"}),
        "a.xlsx": lambda: builder.write_xlsx(path, {"A": builder.sheet([["x"]])}),
    }
    makers[name]()
    data = bytearray(path.read_bytes())
    start = {"a.odt": b"content.xml", "a.ods": b"content.xml", "a.epub": b"OPS/book.opf"}.get(name, b"/")
    place = data.index({"a.pptx": b"ppt/presentation.xml", "a.xlsx": b"xl/workbook.xml"}.get(name, start))
    data[place + 30 : place + 60] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        parse(path)


@pytest.mark.parametrize("kind", ["doc", "ppt", "msg"])
def test_damaged_files_end_with_an_error_of_ours(tmp_path: Path, kind: str) -> None:
    made = {
        "doc": lambda: ole(doc([("a\x07\x1c", b""), ("word " * 500, DELETED), ("x" * 3_000 + "\r", b"")])),
        "ppt": lambda: ole(ppt([("text " * 100, "box", "note")] * 9)),
        "msg": lambda: ole(msg({**MAIL, "1009": PACKED}, fixed=SENT * 9)),
    }
    whole, chance = made[kind](), random.Random(7)
    path = tmp_path / "stored"
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 5, 50])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(1, len(data))])])
        with suppress(DocumentError):
            read(path, "stored")


def test_a_stub_is_corrupt(tmp_path: Path) -> None:
    for kind, name in (("doc", "WordDocument"), ("ppt", "PowerPoint Document")):
        with pytest.raises(Corrupt):
            parse(write_ole(tmp_path / f"a.{kind}", {name: bytes(40)}))
