"""Mails: headers and body as text, attachments as documents of their own."""

import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from documents.errors import Corrupt
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.html import read_html

MAX_PARTS = 5_000

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DAMAGE = (MessageError, AttributeError, LookupError, TypeError, ValueError)
"""What the standard library raises over headers and parts that break the rules."""
_EXTENSIONS = {"message/rfc822": ".eml", "application/pdf": ".pdf", "text/calendar": ".ics"}


class EmlParser:
    formats = ("eml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page. Of a body that comes as plain text and as a web page, the plain text counts, if there is any."""
        message = _message(path)
        headers = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
        texts = [text.strip() for text in _texts(message)]
        report(1, 1)
        subject = _header(message, "Subject")
        return ParsedDocument(
            ["\n\n".join(filter(None, ["\n".join(headers), *texts]))],
            {name: value for name, value in (("title", subject), ("author", _header(message, "From"))) if value},
        )

    def members(self, path: Path) -> Iterator[Member]:
        for number, part in enumerate(filter(_is_attached, _parts(_message(path))), start=1):
            data = _data(part)
            if data:
                yield Member(_name(part, number), [data])


def _message(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        try:
            return BytesParser(policy=policy.default).parse(file)
        except _DAMAGE as error:
            raise Corrupt() from error


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name, ""))
    except _DAMAGE:
        return ""
    return " ".join(value.split())


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts in order, without what is inside attached mails. No recursion: depth is the file's choice."""
    stack: list[EmailMessage] = [message]
    for _ in range(MAX_PARTS):
        if not stack:
            return
        part = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack.extend(reversed([*part.iter_parts()]))  # type: ignore[list-item]
        else:
            yield part


def _texts(message: EmailMessage) -> Iterator[str]:
    """The body: what is text and not attached, of alternatives the plain one."""
    parts = [part for part in _parts(message) if part.get_content_maintype() == "text" and not _is_attached(part)]
    plain = [text for part in parts if part.get_content_subtype() != "html" and (text := _text(part)).strip()]
    if plain:
        yield from plain
        return
    for part in parts:
        yield read_html(_text(part)).text


def _text(part: EmailMessage) -> str:
    data = _data(part)
    charset = part.get_content_charset("")
    try:
        return data.decode(charset).replace("\r\n", "\n")
    except (LookupError, ValueError):
        return (decode(data) or "").replace("\r\n", "\n")


def _is_attached(part: EmailMessage) -> bool:
    """Files and mails. Pictures that belong to the body's looks are none, nor are signatures."""
    kind = part.get_content_maintype()
    if kind == "text":
        return _is_attachment(part) or bool(_filename(part))
    if kind == "image":
        return _is_attachment(part) and "Content-ID" not in part
    return kind == "message" or (bool(_filename(part)) and part.get_content_subtype() != "pkcs7-signature")


def _is_attachment(part: EmailMessage) -> bool:
    try:
        return part.get_content_disposition() == "attachment"
    except _DAMAGE:
        return False


def _filename(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except _DAMAGE:
        return ""


def _data(part: EmailMessage) -> bytes:
    try:
        if part.is_multipart():
            return b"\n".join(inner.as_bytes() for inner in part.get_payload())  # type: ignore[union-attr]
        data = part.get_payload(decode=True)
    except _DAMAGE:
        return b""
    return data if isinstance(data, bytes) else b""


def _name(part: EmailMessage, number: int) -> str:
    if name := _filename(part):
        return name
    inner = part.get_payload() if part.get_content_type() == "message/rfc822" else []
    subject = _header(inner[0], "Subject") if isinstance(inner, list) and inner else ""  # type: ignore[arg-type]
    stem = re.sub(r"[\\/:*?\"<>|]+", " ", subject)[:100].strip() or f"attachment {number}"
    return stem + _EXTENSIONS.get(part.get_content_type(), ".txt")


register(EmlParser())
