"""Mails as all kinds of programs write them."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from documents.errors import Encrypted
from documents.parsers.mail.eml import EmlParser
from documents.parsers.mail.mbox import MboxParser
from documents.reading.format_detection import detect
from tests.documents.parsers.parsing import members, parse, written


def _text(folder: Path, *parts: str, kind: str = "mixed", head: str = "") -> str:
    """Returns the text of a mail with these parts."""
    return parse(_mail(folder, *parts, kind=kind, head=head)).pages[0].removeprefix("Subject: x\n\n")


def _mail(folder: Path, *parts: str, kind: str = "mixed", head: str = "") -> Path:
    content = "".join(f"--b\nContent-Type: {part}\n" for part in parts)
    path = folder / "a.eml"
    path.write_text(f"Subject: x\n{head}Content-Type: multipart/{kind}; boundary=b\n\n{content}--b--\n")
    return path


PLAIN = "text/plain\n\nplain"
PAGE = "text/html\n\n<p>page</p>"


def test_a_footer_does_not_hide_the_page_above(tmp_path: Path) -> None:
    """Mailing lists append a plain-text part to mails that are web pages."""
    assert _text(tmp_path, PAGE, PLAIN).split() == ["page", "plain"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((PLAIN, PAGE), "plain"),
        ((PAGE, PLAIN), "plain"),
        (("text/plain\n\n \n", PAGE), "page"),
        (("text/x-amp-html\n\n<p>amp</p>", PAGE), "page"),
        (("text/plain\n\nplain", "multipart/mixed; boundary=c\n\n--c\nContent-Type: text/html\n\nno\n--c--"), "plain"),
    ],
)
def test_of_alternatives_the_plain_one(tmp_path: Path, parts: tuple[str, ...], text: str) -> None:
    assert _text(tmp_path, *parts, kind="alternative") == text


@pytest.mark.parametrize(
    "stub",
    [
        "Your mail program cannot show HTML mails. Open this message in a browser.",
        "Ihr Programm kann diese Nachricht leider nicht anzeigen.",
        "View online: https://news.example.org/view?id=8431",
        "This is a message in MIME format.",
    ],
)
def test_a_stub_is_not_used_if_there_is_an_alternative(tmp_path: Path, stub: str) -> None:
    page = "<h1>Invoice 4711</h1><p>Your total is 99 EUR, due on Friday.</p>"
    text = _text(tmp_path, f"text/plain\n\n{stub}", f"text/html\n\n{page}", kind="alternative")
    assert "99 EUR" in text
    assert stub not in text


def test_a_beginning_in_place_of_the_text(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(100))
    text = _text(tmp_path, "text/plain\n\nword1 word2 word3", f"text/html\n\n<p>{words}</p>", kind="alternative")
    assert text == words


def test_a_short_mail_and_its_page_with_a_signature(tmp_path: Path) -> None:
    page = "<p>Dear Ann, the lamps have arrived.</p><p><b>Bob</b>, Lamps Ltd</p>"
    plain = "Dear Ann, the lamps have arrived."
    assert _text(tmp_path, f"text/plain\n\n{plain}", f"text/html\n\n{page}", kind="alternative") == plain


NAME = "Übersicht März.txt"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (f'filename="{NAME}"'.encode(), NAME),
        (f'filename="{NAME}"'.encode("cp1252"), NAME),
        ('filename="Отчёт за март.txt"'.encode("koi8_r"), "Отчёт за март.txt"),
        ('filename="Отчёт за март.txt"'.encode("cp1251"), "Отчёт за март.txt"),
        ('filename="請求書の写し.txt"'.encode("cp932"), "請求書の写し.txt"),
        (b"filename*=UTF-8''%C3%9Cbersicht%20M%C3%A4rz.txt", NAME),
        (b"filename*=\"UTF-8''%C3%9Cbersicht%20M%C3%A4rz.txt\"", NAME),
        (b"filename*=no-such-charset''%C3%9Cbersicht%20M%C3%A4rz.txt", NAME),
        (b"filename*=us-ascii''%C3%9Cbersicht%20M%C3%A4rz.txt", NAME),
        (b"filename*0*=UTF-8''%C3%9Cbersicht%20M%C3; filename*1*=%A4rz.txt", NAME),
        (b'filename="%C3%9Cbersicht%20M%C3%A4rz.txt"', NAME),
        (b'filename="=?utf-8?Q?=C3=9Cbersicht_M=C3=A4rz.txt?="', NAME),
        (b'filename="=?utf-8?B?w5xiZXJzaWNodCBNw6Q=?= =?utf-8?B?cnoudHh0?="', NAME),
        (b"filename==?iso-8859-1?Q?=DCbersicht_M=E4rz.txt?=", NAME),
        (b'filename="=?unknown?Q?=DCbersicht_M=E4rz.txt?="', NAME),
        (b'filename="=?utf-8?Q?=DCbersicht_M=E4rz.txt?="', NAME),
        (b'filename="50%25 off.txt"', "50%25 off.txt"),
    ],
)
def test_names_of_attachments(tmp_path: Path, disposition: bytes, name: str) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(
        b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsee file\n"
        b"--b\nContent-Type: text/plain\nContent-Disposition: attachment; " + disposition + b"\n\nhello\n--b--\n"
    )
    assert [member.name for member in EmlParser().members(path)] == [name]


MAILBOX = b"""From ann@example.org Mon Jan  1 10:00:00 2024
From: ann@example.org
Subject: First

The first body.

>From here on it is quoted.
From my desk, at 10:30, I see lamps
and nothing else.

From bob@example.org Mon Jan  1 11:00:00 2024
From: bob@example.org
Subject: =?utf-8?B?WndlaXRlIMOcYmVyc2ljaHQ=?=

The second body.

From - Mon Jan  1 12:00:00 2024
X-Mozilla-Status: 0001

The third body.

From envelope-sender Mon Jun 01 10:00:00 2009

The fourth body, without headers.
"""


def test_a_mailbox(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(MAILBOX)
    assert detect(path, "a", frozenset({"mbox"})).format == "mbox"
    names = ["First.eml", "Zweite Übersicht.eml", "mail 3.eml", "mail 4.eml"]
    assert MboxParser().parse(path, lambda done, total: None).pages == ["\n".join(names)]
    members = {member.name: b"".join(member.blocks) for member in MboxParser().members(path)}
    assert list(members) == names
    first = tmp_path / "b.eml"
    first.write_bytes(members["First.eml"])
    assert parse(first).pages[0].splitlines()[-3:] == [
        "From here on it is quoted.",
        "From my desk, at 10:30, I see lamps",
        "and nothing else.",
    ]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("name", "found"), [("a", "eml"), ("a.mbox", "mbox")])
def test_a_single_mail_with_the_line_of_a_mailbox(tmp_path: Path, name: str, found: str, line_end: bytes) -> None:
    path = tmp_path / "a"
    mail = b"From ann@example.org Mon Jan  1 10:00:00 2024\nFrom: ann@example.org\nSubject: x\nTo: b\n\nbody\n"
    path.write_bytes(mail.replace(b"\n", line_end))
    assert detect(path, name, frozenset({"eml", "mbox"})).format == found


def test_a_saved_web_page_has_no_styles(tmp_path: Path) -> None:
    assert _text(tmp_path, PAGE, "text/css\n\nbody { color: red }", kind="related") == "page"


def test_parts_without_their_boundary(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_text("Subject: x\nContent-Type: multipart/mixed\n\nstill read\n")
    assert parse(path).pages == ["Subject: x\n\nstill read"]


def test_letters_that_are_not_allowed_in_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes("Subject: Größe\nFrom: José <a@b>\n\nbody".encode())
    assert parse(path).pages == ["From: José <a@b>\nSubject: Größe\n\nbody"]


@pytest.mark.parametrize("charset", ["iso-8859-1", "us-ascii", "no-such-charset"])
def test_a_false_charset(tmp_path: Path, charset: str) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(f"Subject: x\nContent-Type: text/plain; charset={charset}\n\ngröße".encode())
    assert parse(path).pages == ["Subject: x\n\ngröße"]


def test_attachments_keep_their_names_and_signatures_are_none(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "x"
    mail.set_content("text")
    mail.add_attachment(b"%PDF", "application", "pdf", filename="../../etc/Größe.pdf")
    mail.add_attachment(b"-----BEGIN", "application", "pgp-signature", filename="signature.asc")
    path = tmp_path / "a.eml"
    path.write_bytes(mail.as_bytes())
    assert [member.name for member in EmlParser().members(path)] == ["../../etc/Größe.pdf"]


@pytest.mark.parametrize("kind", ["multipart/encrypted; boundary=b", "application/pkcs7-mime; name=smime.p7m"])
def test_an_encrypted_mail(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.eml"
    path.write_text(f"Subject: x\nContent-Type: {kind}\n\n--b\nContent-Type: application/octet-stream\n\nx\n--b--\n")
    with pytest.raises(Encrypted, match="readable copy"):
        parse(path)


def test_a_mail(samples: Path) -> None:
    document = parse(samples / "delivery.eml")
    text = document.pages[0]
    assert text.startswith('From: "Eva Jansen" <eva@polder-marine.example>\nTo: orders@northwind-lantern.example\n')
    assert "Subject: Delivery of 6 October: two lanterns broken\n\nGood afternoon," in text
    assert "Mr. García" in text
    assert "this is the same text" not in text
    assert document.metadata["title"] == "Delivery of 6 October: two lanterns broken"


def test_the_attachments_of_a_mail(samples: Path) -> None:
    found = members(samples / "delivery.eml")
    assert list(found) == ["packing-list.csv", "Your order 2025-883.eml"]
    assert found["packing-list.csv"].startswith(b"crate,article,ordered,broken\n1,wicks,200,0")
    assert b"leaves our warehouse on Monday" in found["Your order 2025-883.eml"]


def test_a_mail_without_plain_text(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "News"
    mail.set_content("<p>Lanterns at <b>half price</b></p><img src='cid:logo'>", subtype="html")
    mail.add_related(b"\x89PNG", "image", "png", cid="<logo>", filename="logo.png")
    path = written(tmp_path, "a.eml", mail.as_bytes())
    assert parse(path).pages == ["Subject: News\n\nLanterns at half price"]
    assert members(path) == {}


def test_a_mail_that_breaks_the_rules(tmp_path: Path) -> None:
    source = (
        b"Subject: =?no-such-charset?q?a?=\nFrom: \xff\xfe <<>>\nContent-Type: multipart/mixed; boundary=x\n"
        b"Content-Transfer-Encoding: nonsense\n\n--x\n"
        b"Content-Type: text/plain; charset=nope\n\nStill read: caf\xc3\xa9\n"
    )
    assert "Still read: café" in parse(written(tmp_path, "a.eml", source)).pages[0]
