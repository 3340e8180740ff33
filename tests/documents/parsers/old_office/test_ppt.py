"""PowerPoint presentations up to 2003. Their containers are built by hand."""

import struct
from pathlib import Path

import pytest

import documents.parsers.old_office.ppt
import documents.reading.pipeline
from documents.errors import Encrypted, TooLarge
from documents.reading.pipeline import read
from tests.documents.parsers.parsing import parse
from tests.support.ole_builder import (
    ppt,
    write_ole,
)


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
    assert parse(write_ole(tmp_path / "a.ppt", streams)).pages == ["One\n\n1"]


def test_a_presentation_with_too_many_slides_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read in part."""
    for module in (documents.parsers.old_office.ppt, documents.reading.pipeline):
        monkeypatch.setattr(module, "MAX_PAGES", 2)
    with pytest.raises(TooLarge):
        read(write_ole(tmp_path / "a.ppt", ppt([("One", "1", ""), ("Two", "2", ""), ("Three", "3", "")])), "a.ppt")
