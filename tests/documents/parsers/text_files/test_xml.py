from pathlib import Path

import pytest

from documents.errors import Corrupt, TooComplex
from documents.parsers.file_structures.safe_xml import FEW_ATTRIBUTES
from tests.documents.parsers.parsing import parse, written


def test_xml_values_with_their_names(samples: Path) -> None:
    lines = parse(samples / "catalogue.xml").pages[0].splitlines()
    assert lines[:5] == [
        "catalogue season: winter 2025",
        "article id: BL-18",
        "name: Brass lantern",
        "price currency: EUR",
        "price: 18.50",
    ]
    assert lines[5].startswith("A lantern of solid brass, for harbours and terraces; the glass can be changed")


def test_entities_of_the_file_itself(tmp_path: Path) -> None:
    source = '<!DOCTYPE a [<!ENTITY co "ACME">]><a><b>&co;</b><c>by &co; now</c></a>'
    assert parse(written(tmp_path, "a.xml", source)).pages == ["b: ACME\nc: by ACME now"]


@pytest.mark.parametrize(
    ("source", "text"),
    [("<a><b>one</b><c>two &amp three</c></a>", "b: one\nc: two"), ("<a><b>one</b><c>tw", "b: one\nc: tw")],
)
def test_what_can_be_read_of_damaged_xml_is_read(tmp_path: Path, source: str, text: str) -> None:
    document = parse(written(tmp_path, "a.xml", source))
    assert document.pages[0].startswith(text)
    assert len(document.warnings) == 1


def test_many_attributes_read_as_few_do(tmp_path: Path) -> None:
    """lxml takes quadratic time for many attributes, so they are read in another way."""
    many = "".join(f' x:a{number}="{number}"' for number in range(FEW_ATTRIBUTES))
    source = f'<r xmlns:x="y"><a x:a0="0" x:schemaLocation="no"/><a{many} x:schemaLocation="no"/></r>'
    assert parse(written(tmp_path, "a.xml", source)).pages == [
        "\n".join(["a a0: 0", *(f"a a{number}: {number}" for number in range(FEW_ATTRIBUTES))])
    ]


def test_xml_that_names_no_encoding(tmp_path: Path) -> None:
    assert parse(written(tmp_path, "a.xml", "<a>café</a>".encode("cp1252"))).pages == ["a: café"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le"])
def test_xml_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    declared = encoding.removesuffix("-le").removesuffix("-sig")
    source = f'<?xml version="1.0" encoding="{declared}"?><a>Größe</a>'
    assert parse(written(tmp_path, "a.xml", source.encode(encoding))).pages == ["a: Größe"]


@pytest.mark.parametrize(
    ("source", "error"),
    [("<a><b></a>", Corrupt), ("<a>" * 5_000 + "</a>" * 5_000, TooComplex), ("<a/><b/>", Corrupt), ("<a", Corrupt)],
)
def test_xml_that_is_none(tmp_path: Path, source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(written(tmp_path, "a.xml", source))


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://192.0.2.1/x"])
def test_xml_reads_no_external_entity(tmp_path: Path, address: str) -> None:
    source = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{address}">]><a><b>before</b><c>&e;</c><b>after</b></a>'
    assert parse(written(tmp_path, "a.xml", source)).pages == ["b: before\nb: after"]
