"""JSON, XML, mails and archives."""

from email.message import EmailMessage
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from documents.errors import Corrupt, TooComplex
from documents.parsers import Container, ParsedDocument, parser_for
from documents.parsers.safe_xml import FEW_ATTRIBUTES
from documents.reading.pipeline import read
from tests.support import builder


def _parse(path: Path, format_name: str = "") -> ParsedDocument:
    parser = parser_for(format_name or path.suffix.removeprefix("."))
    assert parser
    return parser.parse(path, lambda done, total: None)


def _written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _members(path: Path) -> dict[str, bytes]:
    parser = parser_for(path.suffix.removeprefix("."))
    assert isinstance(parser, Container)
    return {member.name: b"".join(member.blocks) for member in parser.members(path)}


def test_json_as_people_read_it(samples: Path) -> None:
    text = _parse(samples / "orders.json").pages[0]
    assert text.startswith("customer:\n  name: Polder Marine\n  city: Utrecht\n  since: 2019\n  isActive: true\n")
    assert "  tags: harbour, café\n" in text
    assert "    article: brass lantern\n    quantity: 40\n" in text


def test_json_lines(tmp_path: Path) -> None:
    path = _written(tmp_path, "a.jsonl", '{"a": 1}\n{"a": [true, {"b": null}]}\n')
    assert _parse(path, "json").pages[0].split() == ["a:", "1", "a:", "-", "true", "b:", "null"]


def test_broken_json_is_text_with_a_warning(tmp_path: Path) -> None:
    document = _parse(_written(tmp_path, "a.json", '{"name": "lam'))
    assert document.pages == ['{"name": "lam']
    assert "line 1 column 10" in document.warnings[0]


def test_numbers_in_json_stay_as_they_are_written(tmp_path: Path) -> None:
    path = _written(tmp_path, "a.json", f'{{"a": 1.50, "b": 1e400, "c": {"9" * 5_000}, "d": [1.0, true]}}')
    assert _parse(path).pages == [f"a: 1.50\nb: 1e400\nc: {'9' * 5_000}\nd: 1.0, true"]


def test_deep_json_is_too_complex(tmp_path: Path) -> None:
    with pytest.raises(TooComplex):
        read(_written(tmp_path, "a.json", "[" * 100_000 + "]" * 100_000), "a.json")


def test_xml_values_with_their_names(samples: Path) -> None:
    lines = _parse(samples / "catalogue.xml").pages[0].splitlines()
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
    assert _parse(_written(tmp_path, "a.xml", source)).pages == ["b: ACME\nc: by ACME now"]


@pytest.mark.parametrize(
    ("source", "text"),
    [("<a><b>one</b><c>two &amp three</c></a>", "b: one\nc: two"), ("<a><b>one</b><c>tw", "b: one\nc: tw")],
)
def test_what_can_be_read_of_damaged_xml_is_read(tmp_path: Path, source: str, text: str) -> None:
    document = _parse(_written(tmp_path, "a.xml", source))
    assert document.pages[0].startswith(text)
    assert len(document.warnings) == 1


def test_many_attributes_read_as_few_do(tmp_path: Path) -> None:
    """lxml takes quadratic time for many attributes, so they are read in another way."""
    many = "".join(f' x:a{number}="{number}"' for number in range(FEW_ATTRIBUTES))
    source = f'<r xmlns:x="y"><a x:a0="0" x:schemaLocation="no"/><a{many} x:schemaLocation="no"/></r>'
    assert _parse(_written(tmp_path, "a.xml", source)).pages == [
        "\n".join(["a a0: 0", *(f"a a{number}: {number}" for number in range(FEW_ATTRIBUTES))])
    ]


def test_xml_that_names_no_encoding(tmp_path: Path) -> None:
    assert _parse(_written(tmp_path, "a.xml", "<a>café</a>".encode("cp1252"))).pages == ["a: café"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le"])
def test_xml_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    declared = encoding.removesuffix("-le").removesuffix("-sig")
    source = f'<?xml version="1.0" encoding="{declared}"?><a>Größe</a>'
    assert _parse(_written(tmp_path, "a.xml", source.encode(encoding))).pages == ["a: Größe"]


@pytest.mark.parametrize(
    ("source", "error"),
    [("<a><b></a>", Corrupt), ("<a>" * 5_000 + "</a>" * 5_000, TooComplex), ("<a/><b/>", Corrupt), ("<a", Corrupt)],
)
def test_xml_that_is_none(tmp_path: Path, source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        _parse(_written(tmp_path, "a.xml", source))


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://192.0.2.1/x"])
def test_xml_reads_no_external_entity(tmp_path: Path, address: str) -> None:
    source = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{address}">]><a><b>before</b><c>&e;</c><b>after</b></a>'
    assert _parse(_written(tmp_path, "a.xml", source)).pages == ["b: before\nb: after"]


def test_a_mail(samples: Path) -> None:
    document = _parse(samples / "delivery.eml")
    text = document.pages[0]
    assert text.startswith('From: "Eva Jansen" <eva@polder-marine.example>\nTo: orders@northwind-lantern.example\n')
    assert "Subject: Delivery of 6 October: two lanterns broken\n\nGood afternoon," in text
    assert "Mr. García" in text
    assert "this is the same text" not in text
    assert document.metadata["title"] == "Delivery of 6 October: two lanterns broken"


def test_the_attachments_of_a_mail(samples: Path) -> None:
    members = _members(samples / "delivery.eml")
    assert list(members) == ["packing-list.csv", "Your order 2025-883.eml"]
    assert members["packing-list.csv"].startswith(b"crate,article,ordered,broken\n1,wicks,200,0")
    assert b"leaves our warehouse on Monday" in members["Your order 2025-883.eml"]


def test_a_mail_without_plain_text(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "News"
    mail.set_content("<p>Lanterns at <b>half price</b></p><img src='cid:logo'>", subtype="html")
    mail.add_related(b"\x89PNG", "image", "png", cid="<logo>", filename="logo.png")
    path = _written(tmp_path, "a.eml", mail.as_bytes())
    assert _parse(path).pages == ["Subject: News\n\nLanterns at half price"]
    assert _members(path) == {}


def test_a_mail_that_breaks_the_rules(tmp_path: Path) -> None:
    source = (
        b"Subject: =?no-such-charset?q?a?=\nFrom: \xff\xfe <<>>\nContent-Type: multipart/mixed; boundary=x\n"
        b"Content-Transfer-Encoding: nonsense\n\n--x\n"
        b"Content-Type: text/plain; charset=nope\n\nStill read: caf\xc3\xa9\n"
    )
    assert "Still read: café" in _parse(_written(tmp_path, "a.eml", source)).pages[0]


def test_an_archive_lists_its_members(tmp_path: Path) -> None:
    parts: dict[str, str | bytes] = {
        "report/": "",
        "report/a.txt": "one",
        "../../b.txt": "two",
        "__MACOSX/._a.txt": "x",
        "report/.DS_Store": "x",
    }
    path = builder.write_zip(tmp_path / "a.zip", parts)
    assert _parse(path).pages == ["report/a.txt\n../../b.txt"]
    assert _members(path) == {"report/a.txt": b"one", "../../b.txt": b"two"}


def test_links_in_an_archive_are_no_documents(tmp_path: Path) -> None:
    link = ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "one")
    assert _members(tmp_path / "a.zip") == {"a.txt": b"one"}


def test_a_damaged_member_is_corrupt(tmp_path: Path) -> None:
    path = builder.write_zip(tmp_path / "a.zip", {"a.txt": "one two three " * 100})
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        _members(path)


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
    assert read(_written(tmp_path, "file", content), "file")["fileType"] == format_name
