"""Mails: headers and body as text, attachments as documents of their own."""

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Policy, compat32
from functools import lru_cache
from pathlib import Path
from typing import Any

from documents.errors import Corrupt, Encrypted, TooComplex
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.html import read_page

MAX_PARTS = 5_000
MAX_HEADER = 20_000
MAX_DEPTH = 50
"""Of parts in parts: each line is compared with the boundaries of all that it stands in."""

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DAMAGE = (MessageError, AttributeError, LookupError, TypeError, ValueError)
"""What the standard library raises over headers and parts that break the rules."""
_SHOWN = {"text/plain", "text/html", "text/markdown", "text/enriched", "text/richtext"}
_EXTENSIONS = {"message/rfc822": ".eml", "application/pdf": ".pdf", "text/calendar": ".ics"}
_CMS = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_SIGNATURES = {"pgp-signature", "pkcs7-signature", "x-pkcs7-signature"}
_UNSAFE = re.compile(r"[\\/:*?\"<>|]+")

Part = Message
"""Of the older interface: the newer one parses every address, in a time that grows with the square of them."""


class _Part(Message):
    depth = 0

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        if payload.depth > MAX_DEPTH:
            raise TooComplex("The mail's parts are nested too deeply: save its attachments, and upload those.")
        super().attach(payload)

    def set_raw(self, name: str, value: Any) -> None:
        """Cut: parameters are read in a time that grows with the square of the header."""
        super().set_raw(name, value[:MAX_HEADER])


class EmlParser:
    formats = ("eml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page. Of a body that comes as plain text and as a web page, the plain text counts, if there is any."""
        parts = _parts(path)
        if _is_encrypted(parts[0]):
            raise Encrypted("The mail is encrypted: save it in your mail program as a readable copy, and upload that.")
        headers = [f"{name}: {value}" for name in _HEADERS if (value := _header(parts[0], name))]
        texts = [text.strip() for text in _texts(parts[0])]
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


def body_of(data: bytes) -> str:
    """The text of a web page that was saved as a mail (MHTML). Raises Corrupt and TooComplex."""
    return "\n\n".join(_texts(_parsed(data)))


@lru_cache(maxsize=1)
def _parts(path: Path) -> list[Part]:
    """The mail and its parts in order, without what is inside attached mails. Raises Corrupt and TooComplex."""
    message = _parsed(path.read_bytes())
    found, stack = [message], [message]
    while stack:
        part = stack.pop()
        if part is not message and part.get_content_maintype() != "multipart":
            found.append(part)
        stack.extend(reversed(_inside(part)))
    return found


def _parsed(data: bytes) -> Part:
    count = 0

    def new_part(policy: "Policy[Message]" = compat32) -> Part:
        nonlocal count
        count += 1
        if count > MAX_PARTS:
            raise TooComplex("The mail has too many parts: save its attachments, and upload those.")
        return _Part(policy)

    try:
        return BytesParser(new_part, policy=compat32).parsebytes(data)
    except _DAMAGE as error:
        raise Corrupt() from error


def _inside(part: Part) -> list[Part]:
    """The parts of a part; attached mails keep theirs."""
    inside = part.get_payload()
    if part.get_content_maintype() != "multipart" or not isinstance(inside, list):
        return []
    return [item for item in inside if isinstance(item, Message)]


def _is_encrypted(message: Part) -> bool:
    kind = message.get_content_type()
    return kind == "multipart/encrypted" or (kind in _CMS and message.get_param("smime-type") != "signed-data")


def _header(message: Part, name: str) -> str:
    """Without line breaks, and with its words decoded."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if not raw.isascii():  # 8-bit characters, which must not stand there
        raw = decode(raw.encode("utf-8", "surrogateescape")) or ""
    try:
        value = str(make_header(decode_header(raw)))
    except _DAMAGE:
        value = raw
    return " ".join(value.split())


def _texts(part: Part) -> Iterator[str]:
    """What a reader sees: text that is not attached, and of alternatives the plain one, if there is any in it."""
    inside = _inside(part)
    if part.get_content_subtype() == "alternative" and inside:
        versions = (list(_texts(each)) for each in sorted(inside, key=_is_page))
        yield from next((texts for texts in versions if any(map(str.strip, texts))), [])
    for each in inside if part.get_content_subtype() != "alternative" else ():
        yield from _texts(each)
    is_shown = part.get_content_type() in _SHOWN and not _is_attached(part)
    if is_shown or (part.get_content_maintype() == "multipart" and not inside):
        data = _data(part)
        charset = part.get_content_charset() or ""
        yield (read_page(data, charset).text if _is_page(part) else decode(data, charset) or "").replace("\r\n", "\n")


def _is_page(part: Part) -> bool:
    return any(each.get_content_type() == "text/html" for each in part.walk())


def _is_attached(part: Part) -> bool:
    """Files and mails. Pictures that belong to the body's looks are none, nor are signatures."""
    kind = part.get_content_maintype()
    if kind in {"text", "multipart"}:
        return kind == "text" and (_is_attachment(part) or bool(_filename(part)))
    if kind == "image":
        return _is_attachment(part) and "Content-ID" not in part
    return kind == "message" or (bool(_filename(part)) and part.get_content_subtype() not in _SIGNATURES)


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
