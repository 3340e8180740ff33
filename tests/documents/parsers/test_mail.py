"""Mails as all kinds of programs write them."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from documents.errors import Encrypted
from documents.parsers import ParsedDocument
from documents.parsers.eml import EmlParser


def _parse(path: Path) -> ParsedDocument:
    return EmlParser().parse(path, lambda done, total: None)


def _text(folder: Path, *parts: str, kind: str = "mixed", head: str = "") -> str:
    """Returns the text of a mail with these parts."""
    return _parse(_mail(folder, *parts, kind=kind, head=head)).pages[0].removeprefix("Subject: x\n\n")


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


def test_a_saved_web_page_has_no_styles(tmp_path: Path) -> None:
    assert _text(tmp_path, PAGE, "text/css\n\nbody { color: red }", kind="related") == "page"


def test_parts_without_their_boundary(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_text("Subject: x\nContent-Type: multipart/mixed\n\nstill read\n")
    assert _parse(path).pages == ["Subject: x\n\nstill read"]


def test_letters_that_are_not_allowed_in_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes("Subject: Größe\nFrom: José <a@b>\n\nbody".encode())
    assert _parse(path).pages == ["From: José <a@b>\nSubject: Größe\n\nbody"]


@pytest.mark.parametrize("charset", ["iso-8859-1", "us-ascii", "no-such-charset"])
def test_a_false_charset(tmp_path: Path, charset: str) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(f"Subject: x\nContent-Type: text/plain; charset={charset}\n\ngröße".encode())
    assert _parse(path).pages == ["Subject: x\n\ngröße"]


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
        _parse(path)
