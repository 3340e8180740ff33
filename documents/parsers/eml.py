"""Mails: headers and body as text. Attachments become separate documents."""

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
"""Limit for parts in parts. Each line is compared with the boundaries of all enclosing parts."""

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DAMAGE = (MessageError, AttributeError, LookupError, TypeError, ValueError)
"""What the standard library raises for headers and parts that break the rules."""
_SHOWN = {"text/plain", "text/html", "text/markdown", "text/enriched", "text/richtext"}
_EXTENSIONS = {"message/rfc822": ".eml", "application/pdf": ".pdf", "text/calendar": ".ics"}
_CMS = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_SIGNATURES = {"pgp-signature", "pkcs7-signature", "x-pkcs7-signature"}
_UNSAFE = re.compile(r"[\\/:*?\"<>|]+")

MailPart = Message
"""A part in the older interface. The newer one parses every address, in quadratic time."""


class _LimitedPart(Message):
    depth = 0

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        if payload.depth > MAX_DEPTH:
            raise TooComplex("The mail's parts are nested too deeply: save its attachments, and upload those.")
        super().attach(payload)

    def set_raw(self, name: str, value: Any) -> None:
        """Cuts long headers, because reading their parameters takes quadratic time."""
        super().set_raw(name, value[:MAX_HEADER])


class EmlParser:
    formats = ("eml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page. Of a body as plain text and as a web page, the plain text is used, unless it is empty."""
        parts = _mail_parts(path)
        if _is_encrypted(parts[0]):
            raise Encrypted("The mail is encrypted: save it in your mail program as a readable copy, and upload that.")
        headers = [f"{name}: {value}" for name in _HEADERS if (value := _decoded_header(parts[0], name))]
        texts = [text.strip() for text in _visible_texts(parts[0])]
        report(1, 1)
        named = (("title", "Subject"), ("author", "From"))
        return ParsedDocument(
            ["\n\n".join(filter(None, ["\n".join(headers), *texts]))],
            {ours: value for ours, theirs in named if (value := _decoded_header(parts[0], theirs))},
        )

    def members(self, path: Path) -> Iterator[Member]:
        for number, part in enumerate(filter(_is_attached, _mail_parts(path)), start=1):
            if data := _decoded_payload(part):
                yield Member(_attachment_name(part, number), [data])


def body_of(data: bytes) -> str:
    """Returns the text of a web page that was saved as a mail (MHTML). Raises Corrupt and TooComplex."""
    return "\n\n".join(_visible_texts(_parse_mail(data)))


@lru_cache(maxsize=1)
def _mail_parts(path: Path) -> list[MailPart]:
    """Returns the mail and its parts in order, without those of attached mails. Raises Corrupt and TooComplex."""
    message = _parse_mail(path.read_bytes())
    found, stack = [message], [message]
    while stack:
        part = stack.pop()
        if part is not message and part.get_content_maintype() != "multipart":
            found.append(part)
        stack.extend(reversed(_subparts(part)))
    return found


def _parse_mail(data: bytes) -> MailPart:
    count = 0

    def new_part(policy: "Policy[Message]" = compat32) -> MailPart:
        nonlocal count
        count += 1
        if count > MAX_PARTS:
            raise TooComplex("The mail has too many parts: save its attachments, and upload those.")
        return _LimitedPart(policy)

    try:
        return BytesParser(new_part, policy=compat32).parsebytes(data)
    except _DAMAGE as error:
        raise Corrupt() from error


def _subparts(part: MailPart) -> list[MailPart]:
    """Returns the parts of a multipart part. The parts of an attached mail are not listed."""
    inside = part.get_payload()
    if part.get_content_maintype() != "multipart" or not isinstance(inside, list):
        return []
    return [item for item in inside if isinstance(item, Message)]


def _is_encrypted(message: MailPart) -> bool:
    kind = message.get_content_type()
    return kind == "multipart/encrypted" or (kind in _CMS and message.get_param("smime-type") != "signed-data")


def _decoded_header(message: MailPart, name: str) -> str:
    """Returns a header, decoded and without line breaks."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if not raw.isascii():  # 8-bit characters, which are not allowed in headers
        raw = decode(raw.encode("utf-8", "surrogateescape")) or ""
    try:
        value = str(make_header(decode_header(raw)))
    except _DAMAGE:
        value = raw
    return " ".join(value.split())


def _visible_texts(part: MailPart) -> Iterator[str]:
    """Yields what a reader sees: text that is not attached. Of alternatives, the plain one, unless it is empty."""
    inside = _subparts(part)
    if part.get_content_subtype() == "alternative" and inside:
        versions = (list(_visible_texts(each)) for each in sorted(inside, key=_is_page))
        yield from next((texts for texts in versions if any(map(str.strip, texts))), [])
    for each in inside if part.get_content_subtype() != "alternative" else ():
        yield from _visible_texts(each)
    is_shown = part.get_content_type() in _SHOWN and not _is_attached(part)
    if is_shown or (part.get_content_maintype() == "multipart" and not inside):
        data = _decoded_payload(part)
        charset = part.get_content_charset() or ""
        yield (read_page(data, charset).text if _is_page(part) else decode(data, charset) or "").replace("\r\n", "\n")


def _is_page(part: MailPart) -> bool:
    return any(each.get_content_type() == "text/html" for each in part.walk())


def _is_attached(part: MailPart) -> bool:
    """Whether the part is an attached file or mail. Pictures of the body's layout and signatures are not."""
    kind = part.get_content_maintype()
    if kind in {"text", "multipart"}:
        return kind == "text" and (_is_attachment(part) or bool(_filename(part)))
    if kind == "image":
        return _is_attachment(part) and "Content-ID" not in part
    return kind == "message" or (bool(_filename(part)) and part.get_content_subtype() not in _SIGNATURES)


def _is_attachment(part: MailPart) -> bool:
    try:
        return part.get_content_disposition() == "attachment"
    except _DAMAGE:
        return False


def _filename(part: MailPart) -> str:
    try:
        name = part.get_filename() or ""
        return str(make_header(decode_header(name)))
    except _DAMAGE:
        return ""


def _decoded_payload(part: MailPart) -> bytes:
    try:
        inside = part.get_payload()
        if isinstance(inside, list):
            return b"\n".join(item.as_bytes() for item in inside if isinstance(item, Message))
        data = part.get_payload(decode=True)
    except _DAMAGE:
        return b""
    return data if isinstance(data, bytes) else b""


def _attachment_name(part: MailPart, number: int) -> str:
    """Returns the file's name, the subject of an attached mail, or a number."""
    if name := _filename(part):
        return name
    inside = part.get_payload()
    inner = inside[0] if isinstance(inside, list) and inside else None
    subject = _decoded_header(inner, "Subject") if isinstance(inner, Message) else ""
    stem = _UNSAFE.sub(" ", subject)[:100].strip() or f"attachment {number}"
    return stem + _EXTENSIONS.get(part.get_content_type(), ".txt")


register(EmlParser())
