"""Mails of Outlook. Their containers are built by hand."""

import struct
from pathlib import Path

import pytest

from documents.errors import Encrypted
from documents.parsers.mail.msg import unpacked_rtf
from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse
from tests.support.ole_builder import msg, write_ole

SENT = struct.pack("<HHIq", 0x0040, 0x0039, 0, 133_000_000_000_000_000)
MAIL: dict[str, str | bytes] = {"0037": "On lamps", "0C1A": "Anna", "5D01": "anna@example.org", "0E04": "Bob"}


def test_a_mail_of_outlook(tmp_path: Path) -> None:
    streams = msg({**MAIL, "1000": "Dear Bob,\r\nwe sell lamps."}, fixed=SENT)
    streams |= msg({"3707": "list.txt", "3701": b"10 lamps"}, "__attach_version1.0_#00000000", header=8)
    streams |= msg({"3707": "logo.png", "3701": b"\x89PNG", "3712": "logo"}, "__attach_version1.0_#00000001", header=8)
    inner = "__attach_version1.0_#00000002"
    streams |= msg({"3001": "a mail"}, inner, header=8)
    streams |= msg({"0037": "Older: mail", "1000": "Old words."}, f"{inner}/__substg1.0_3701000D", header=24)
    path, folder = write_ole(tmp_path / "stored", streams), tmp_path / "members"
    folder.mkdir()
    result = read(path, "stored", members=folder)
    assert (result["fileType"], result["metadata"]["title"]) == ("msg", "On lamps")
    assert result["pages"] == [
        "From: Anna <anna@example.org>\nTo: Bob\nDate: 2022-06-18 04:26 UTC\nSubject: On lamps\n\n"
        "Dear Bob,\nwe sell lamps."
    ]
    assert [member["name"] for member in result["members"]] == ["list.txt", "Older mail.txt"]
    assert (folder / result["members"][0]["file"]).read_bytes() == b"10 lamps"
    assert "Old words." in (folder / result["members"][1]["file"]).read_text()


def test_the_body_of_a_mail_as_a_web_page(tmp_path: Path) -> None:
    page = b"<html><meta charset=utf-8><p>Ten <b>l\xc3\xa4mps</b></p></html>"
    assert parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "1013": page}))).pages[0].endswith("\n\nTen lämps")


PACKED = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232 0af32068656c090020627705b06c647d0a800fa0"
)
"""The example of [MS-OXRTFCP] 4.1.1."""


def test_the_body_of_a_mail_as_compressed_rich_text(tmp_path: Path) -> None:
    assert unpacked_rtf(PACKED) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "1009": PACKED}))).pages[0].endswith("\n\nhello world")


def test_an_encrypted_mail(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "001A": "IPM.Note.SMIME"})))
