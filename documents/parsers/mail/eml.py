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
from urllib.parse import unquote_to_bytes

from documents.errors import Corrupt, Encrypted, TooComplex
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.web.html import read_page

MAX_PARTS = 5_000
MIN_STUB_WORDS = 3
MAX_STUB_WORDS = 40
MIN_SHARED_WORDS = 0.5
MIN_STUB_FACTOR = 5
"""A plain version is a stub if it is short and differs from the page, or if the page says far more."""
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
_WORD = re.compile(r"\w{2,}")
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
        """Cuts long headers, because reading their parameters takes quadratic time, and decodes them."""
        value = value[:MAX_HEADER]
        if not value.isascii():  # 8-bit characters, which are not allowed in headers
            value = decode(value.encode("utf-8", "surrogateescape")) or value
        super().set_raw(name, value)


class EmlParser:
    formats = ("eml",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page. If the body is plain text and a web page, the plain text is used, unless it is a stub."""
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
    return " ".join(_decoded_words(raw).split())


def _decoded_words(raw: str) -> str:
    """Decodes the encoded words (RFC 2047) in a header. If a charset is false, the bytes show the right one."""
    try:
        return str(make_header(decode_header(raw)))
    except _DAMAGE:
        pass
    try:
        chunks = decode_header(raw)
    except _DAMAGE:
        return raw
    return "".join(each if isinstance(each, str) else decode(each, charset or "") or "" for each, charset in chunks)


def _visible_texts(part: MailPart) -> Iterator[str]:
    """Yields what a reader sees: text that is not attached. The plain alternative is used, unless it is a stub."""
    inside = _subparts(part)
    if part.get_content_subtype() == "alternative" and inside:
        versions = [list(_visible_texts(each)) for each in sorted(inside, key=_is_page)]
        readable = [texts for texts in versions if any(map(str.strip, texts))]
        yield from next(
            (texts for texts in readable if not _is_stub(texts, readable)), readable[-1] if readable else []
        )
    for each in inside if part.get_content_subtype() != "alternative" else ():
        yield from _visible_texts(each)
    is_shown = part.get_content_type() in _SHOWN and not _is_attached(part)
    if is_shown or (part.get_content_maintype() == "multipart" and not inside):
        data = _decoded_payload(part)
        charset = part.get_content_charset() or ""
        yield (read_page(data, charset).text if _is_page(part) else decode(data, charset) or "").replace("\r\n", "\n")


def _is_stub(texts: list[str], versions: list[list[str]]) -> bool:
    """Whether these texts only say that there is another version, as in "Your program cannot show this mail"."""
    words = _words(texts)
    others = max((_words(each) for each in versions if each is not texts), key=len, default=set())
    says_something_else = len(words & others) < MIN_SHARED_WORDS * len(words)
    is_notice = MIN_STUB_WORDS <= len(words) <= MAX_STUB_WORDS and says_something_else
    return bool(others) and (is_notice or len(words) * MIN_STUB_FACTOR < len(others))


def _words(texts: list[str]) -> set[str]:
    return set(_WORD.findall(" ".join(texts).lower()))


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
    """Returns the name of an attached file, or "". Many programs do not write it by the rules."""
    try:
        value = part.get_param("filename", None, "content-disposition") or part.get_param("name", None) or ""
    except _DAMAGE:
        return ""
    if isinstance(value, tuple):  # RFC 2231: its bytes are in a string
        return decode(value[2].encode("raw-unicode-escape"), value[0] or "") or ""
    name = _decoded_words(value)
    from_percents = unquote_to_bytes(name)
    if "%" in name and name.isascii() and not from_percents.isascii():
        return decode(from_percents) or name
    return name


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
    stem = _subject_as_name(inner) if isinstance(inner, Message) else ""
    return (stem or f"attachment {number}") + _EXTENSIONS.get(part.get_content_type(), ".txt")


def _subject_as_name(message: MailPart) -> str:
    return _UNSAFE.sub(" ", _decoded_header(message, "Subject"))[:100].strip()


def name_of(data: bytes, number: int) -> str:
    """Returns a file name for a mail whose beginning is `data`: its subject, or the number. Raises Corrupt."""
    return (_subject_as_name(_parse_mail(data)) or f"mail {number}") + ".eml"


register(EmlParser())
