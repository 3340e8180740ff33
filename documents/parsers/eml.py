"""Mails: headers and body as text, attachments as documents of their own."""

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from functools import lru_cache
from pathlib import Path

from documents.errors import Corrupt, TooComplex
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.html import read_html

MAX_PARTS = 5_000
MAX_HEADER = 20_000

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DAMAGE = (MessageError, AttributeError, LookupError, TypeError, ValueError)
"""What the standard library raises over headers and parts that break the rules."""
_EXTENSIONS = {"message/rfc822": ".eml", "application/pdf": ".pdf", "text/calendar": ".ics"}
_UNSAFE = re.compile(r"[\\/:*?\"<>|]+")

Part = Message
"""Of the older interface: the newer one parses every address, in a time that grows with the square of them."""


class EmlParser:
    formats = ("eml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page. Of a body that comes as plain text and as a web page, the plain text counts, if there is any."""
        parts = _parts(path)
        headers = [f"{name}: {value}" for name in _HEADERS if (value := _header(parts[0], name))]
        texts = [text.strip() for text in _texts(parts)]
        report(1, 1)
        named = (("title", "Subject"), ("author", "From"))
        return ParsedDocument(
            ["\n\n".join(filter(None, ["\n".join(headers), *texts]))],
            {ours: value for ours, theirs in named if (value := _header(parts[0], theirs))},
        )

    def members(self, path: Path) -> Iterator[Member]:
        for number, part in enumerate(filter(_is_attached, _parts(path)), start=1):
            if data := _data(part):
                yield Member(_name(part, number), [data])


@lru_cache(maxsize=1)
def _parts(path: Path) -> list[Part]:
    """The mail and its parts in order, without what is inside attached mails. Raises Corrupt and TooComplex."""
    data = path.read_bytes()
    if data.lower().count(b"\ncontent-type:") > MAX_PARTS:
        raise TooComplex("The mail has too many parts: save its attachments, and upload those.")
    try:
        message = BytesParser(policy=compat32).parsebytes(data)
    except _DAMAGE as error:
        raise Corrupt() from error
    found, stack = [message], [message]
    while stack:
        part = stack.pop()
        inside = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inside, list):
            stack.extend(reversed([item for item in inside if isinstance(item, Message)]))
        elif part is not message:
            found.append(part)
    return found


def _header(message: Part, name: str) -> str:
    """Without line breaks, and with its words decoded."""
    raw = str(message.get(name, ""))[:MAX_HEADER]
    try:
        value = str(make_header(decode_header(raw)))
    except _DAMAGE:
        value = raw
    return " ".join(value.split())


def _texts(parts: list[Part]) -> Iterator[str]:
    """The body: what is text and not attached, of alternatives the plain one."""
    texts = [part for part in parts if part.get_content_maintype() == "text" and not _is_attached(part)]
    plain = [text for part in texts if part.get_content_subtype() != "html" and (text := _text(part)).strip()]
    if plain:
        yield from plain
        return
    for part in texts:
        yield read_html(_text(part)).text


def _text(part: Part) -> str:
    data = _data(part)
    try:
        text = data.decode(part.get_content_charset() or "")
    except (LookupError, ValueError):
        text = decode(data) or ""
    return text.replace("\r\n", "\n")


def _is_attached(part: Part) -> bool:
    """Files and mails. Pictures that belong to the body's looks are none, nor are signatures."""
    kind = part.get_content_maintype()
    if kind in {"text", "multipart"}:
        return kind == "text" and (_is_attachment(part) or bool(_filename(part)))
    if kind == "image":
        return _is_attachment(part) and "Content-ID" not in part
    return kind == "message" or (bool(_filename(part)) and part.get_content_subtype() != "pkcs7-signature")


def _is_attachment(part: Part) -> bool:
    try:
        return part.get_content_disposition() == "attachment"
    except _DAMAGE:
        return False


def _filename(part: Part) -> str:
    try:
        name = part.get_filename() or ""
        return str(make_header(decode_header(name)))
    except _DAMAGE:
        return ""


def _data(part: Part) -> bytes:
    try:
        inside = part.get_payload()
        if isinstance(inside, list):
            return b"\n".join(item.as_bytes() for item in inside if isinstance(item, Message))
        data = part.get_payload(decode=True)
    except _DAMAGE:
        return b""
    return data if isinstance(data, bytes) else b""


def _name(part: Part, number: int) -> str:
    """Its file's name, an attached mail's subject, or a number."""
    if name := _filename(part):
        return name
    inside = part.get_payload()
    inner = inside[0] if isinstance(inside, list) and inside else None
    subject = _header(inner, "Subject") if isinstance(inner, Message) else ""
    stem = _UNSAFE.sub(" ", subject)[:100].strip() or f"attachment {number}"
    return stem + _EXTENSIONS.get(part.get_content_type(), ".txt")


register(EmlParser())
