"""Documents of Office up to 2003: Word, PowerPoint and Outlook. Their containers are built by hand.

The readers were also tried on the 49 documents, 22 presentations and 12 mails of Apache Tika's tests.
"""

import random
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest

import documents.parsers.ppt
import documents.reading.pipeline
from documents.errors import Corrupt, DocumentError, Encrypted, TooLarge
from documents.parsers import ParsedDocument, parser_for
from documents.parsers.msg import unpacked_rtf
from documents.reading.pipeline import read
from tests.support.ole_builder import (
    DELETED,
    HIDDEN,
    IN_SYMBOL,
    RAISED,
    SYMBOL,
    doc,
    msg,
    ole,
    ppt,
    summary,
    write_ole,
)


def _parse(path: Path) -> ParsedDocument:
    parser = parser_for(path.suffix.removeprefix("."))
    assert parser
    return parser.parse(path, lambda done, total: None)


def _doc(path: Path, *runs: tuple[str, bytes] | str, notes: str = "", is_narrow: bool = False) -> Path:
    listed = [(run, b"") if isinstance(run, str) else run for run in runs]
    return write_ole(path, doc(listed, notes, is_narrow=is_narrow))


@pytest.mark.parametrize("is_narrow", [True, False])
def test_a_word_document(tmp_path: Path, is_narrow: bool) -> None:
    path = _doc(tmp_path / "stored", "Die Käse\rEnd\r", notes="At the foot.\r", is_narrow=is_narrow)
    result = read(path, "stored")
    assert (result["fileType"], result["pages"]) == ("doc", ["Die Käse\nEnd\n\nAt the foot."])


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (["kept ", ("gone", DELETED), "and", (" unseen", HIDDEN), "\r"], "kept and"),
        (["10", ("6", RAISED), " cells\r"], "10⁶ cells"),
        (["10 ", ("m", IN_SYMBOL), "g, ", ("(", SYMBOL), "g (both)\r"], "10 µg, µg (both)"),
        (["see \x13HYPERLINK x\x14the page\x15 and \x13PAGE\x15.\r"], "see the page and ."),
        (["a\x07b\rc\x07\x1cd\x07\x07\x1cafter\r"], "a | b c\nd | \nafter"),
        (["one\x0btwo\x1ethree\x1f\xa0four\r"], "one\ntwo-three four"),
    ],
)
def test_the_text_that_a_reader_sees(tmp_path: Path, runs: list[tuple[str, bytes] | str], text: str) -> None:
    shown = [line.strip(" ") for line in _parse(_doc(tmp_path / "a.doc", *runs)).pages[0].split("\n")]
    assert shown == [line.strip(" ") for line in text.split("\n")]


@pytest.mark.parametrize("count", [2, 2**32 - 1])
def test_the_title_of_a_document(tmp_path: Path, count: int) -> None:
    """A damaged file may say that it has billions of properties."""
    start = time.process_time()
    document = _parse(write_ole(tmp_path / "a.doc", doc([("x\r", b"")]) | summary("Über Lampen", count)))
    assert time.process_time() - start < 2
    assert document.metadata == ({"title": "Über Lampen"} if count == 2 else {})


def test_a_word_document_with_a_password(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        read(write_ole(tmp_path / "stored", doc([("x\r", b"")], flags=0x0300)), "stored")


def test_a_presentation(tmp_path: Path) -> None:
    path = write_ole(tmp_path / "stored", ppt([("Lämp sales\rin July", "Up", "Pause here."), ("Figures", "310", "")]))
    result = read(path, "stored")
    assert result["fileType"] == "ppt"
    assert result["pages"] == ["Lämp sales\nin July\n\nUp\n\nNotes: Pause here.", "Figures\n\n310"]


def test_a_presentation_with_a_password(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        read(write_ole(tmp_path / "stored", ppt([("x", "y", "z")], token=0xF3D1C4DF)), "stored")


def test_a_presentation_whose_slides_name_one_part(tmp_path: Path) -> None:
    """A bomb names one part many times: it counts once."""
    streams = ppt([("One", "1", ""), ("Two", "2", "")])
    data = streams["PowerPoint Document"]
    places = data.rindex(struct.pack("<H", 6002)) + 10
    first, second = places + 4, places + 12
    streams["PowerPoint Document"] = data[:second] + data[first : first + 4] + data[second + 4 :]
    assert _parse(write_ole(tmp_path / "a.ppt", streams)).pages == ["One\n\n1"]


def test_a_presentation_with_too_many_slides_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read in part."""
    for module in (documents.parsers.ppt, documents.reading.pipeline):
        monkeypatch.setattr(module, "MAX_PAGES", 2)
    with pytest.raises(TooLarge):
        read(write_ole(tmp_path / "a.ppt", ppt([("One", "1", ""), ("Two", "2", ""), ("Three", "3", "")])), "a.ppt")


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
    assert _parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "1013": page}))).pages[0].endswith("\n\nTen lämps")


PACKED = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232 0af32068656c090020627705b06c647d0a800fa0"
)
"""The example of [MS-OXRTFCP] 4.1.1."""


def test_the_body_of_a_mail_as_compressed_rich_text(tmp_path: Path) -> None:
    assert unpacked_rtf(PACKED) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert _parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "1009": PACKED}))).pages[0].endswith("\n\nhello world")


def test_an_encrypted_mail(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        _parse(write_ole(tmp_path / "a.msg", msg({**MAIL, "001A": "IPM.Note.SMIME"})))


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
            _parse(write_ole(tmp_path / f"a.{kind}", {name: bytes(40)}))
