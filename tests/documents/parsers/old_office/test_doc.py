"""Word documents up to 2003. Their containers are built by hand."""

import time
from pathlib import Path

import pytest

from documents.errors import Encrypted
from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse
from tests.support.ole_builder import (
    DELETED,
    HIDDEN,
    IN_SYMBOL,
    RAISED,
    SYMBOL,
    doc,
    summary,
    write_ole,
)


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
    shown = [line.strip(" ") for line in parse(_doc(tmp_path / "a.doc", *runs)).pages[0].split("\n")]
    assert shown == [line.strip(" ") for line in text.split("\n")]


@pytest.mark.parametrize("count", [2, 2**32 - 1])
def test_the_title_of_a_document(tmp_path: Path, count: int) -> None:
    """A damaged file may say that it has billions of properties."""
    start = time.process_time()
    document = parse(write_ole(tmp_path / "a.doc", doc([("x\r", b"")]) | summary("Über Lampen", count)))
    assert time.process_time() - start < 2
    assert document.metadata == ({"title": "Über Lampen"} if count == 2 else {})


def test_a_word_document_with_a_password(tmp_path: Path) -> None:
    with pytest.raises(Encrypted):
        read(write_ole(tmp_path / "stored", doc([("x\r", b"")], flags=0x0300)), "stored")
