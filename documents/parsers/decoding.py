"""Decodes bytes to text, in whatever encoding."""

import codecs
import re
from pathlib import Path

from documents.errors import TooLarge, WrongType
from documents.parsers import MAX_CHARACTERS
from documents.parsers.code_pages import code_page_of

DETECTION_BYTES = 300_000
SNIFFED_BYTES = 4096
MAX_CONTROL_SHARE = 0.02
MIN_VALID_PER_DAMAGED = 10
MAX_NUL_SHARE = 0.1
"""NULs in a text that a crash or an old program has padded."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose BOM is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SUCCESSORS = {
    **dict.fromkeys(("ascii", "us-ascii", "iso-8859-1", "latin1"), "cp1252"),
    **dict.fromkeys(("big5", "big5-hkscs"), "big5hkscs"),
    **dict.fromkeys(("gb2312", "gbk", "x-gbk"), "gb18030"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "x-windows-949"), "cp949"),
    **dict.fromkeys(("shift_jis", "shift-jis", "x-sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("iso-8859-11", "tis-620", "windows-874"), "cp874"),
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-9": "cp1254",
    "x-mac-cyrillic": "mac_cyrillic",
}
"""The encoding that is meant by a name: files use characters that only the successor of their encoding has."""
_IGNORED_NAMES = re.compile("utf-?(8|16|32)|ucs|unicode|raw|idna|punycode|undefined")
"""The bytes themselves show UTF. The other names are codecs of Python that no file uses."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f-\x9f\ufffd]")


def read_text(path: Path, declares: re.Pattern[bytes] | None = None) -> str:
    """Returns the file's text with `\\n` line ends. Raises TooLarge, and WrongType if no encoding gives text.

    The first match of `declares` in the file names its encoding.
    """
    data = path.read_bytes()
    text = decode(data, declared_in(data, declares) if declares else "")
    if text is None:
        raise WrongType("The file holds no readable text: upload the original document, or save it as UTF-8 text.")
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"The file has {len(text) // 1_000_000} million characters of text: split it.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def declared_in(data: bytes, declares: re.Pattern[bytes]) -> str:
    """Returns the first group of the pattern, or "" without a match."""
    found = declares.search(data)
    return found[1].decode("ascii", "ignore") if found else ""


def decode(data: bytes, declared: str = "") -> str | None:
    """Returns `data` as text, or None for binary data. A damaged character in a long file becomes U+FFFD.

    `declared` is the encoding that the file or its mail names. It is often wrong, and then ignored.
    """
    encoding = _as_declared(data, declared) or encoding_of(data)
    if encoding is None:
        return None
    return data.decode(encoding, "replace").removeprefix("\ufeff")


def encoding_of(data: bytes) -> str | None:
    """Returns the encoding in which `data` is text. Tries the BOM, UTF-8, NULs, then code pages."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return encoding
    for guess in (_as_escaped, _as_utf8, _as_wide, _as_ebcdic, _as_code_page, _as_wide_han):
        encoding_found = guess(data)
        if encoding_found is not None:
            return encoding_found
    if 0 < data.count(0) <= MAX_NUL_SHARE * len(data):
        return encoding_of(data.replace(b"\0", b""))
    return None


def _as_declared(data: bytes, name: str) -> str | None:
    """Returns the encoding of that name, unless there is a BOM or all is valid UTF-8: neither happens by chance."""
    encoding = _SUCCESSORS.get(name.lower(), name.lower())
    if not encoding or _IGNORED_NAMES.match(encoding) or any(data.startswith(mark) for mark, _ in _BOMS):
        return None
    if not data.isascii() and _is_text(data, "utf-8"):
        return None
    return encoding if _is_text(data, encoding) else None


def _as_escaped(data: bytes) -> str | None:
    """Detects ISO-2022-JP and ISO-2022-KR, which consist of ASCII bytes, so they are also valid UTF-8."""
    if b"\x1b$" not in data:
        return None
    return next((name for name in ("iso2022_jp", "iso2022_kr") if _is_text(data, name)), None)


def _as_utf8(data: bytes) -> str | None:
    """Detects UTF-8, even with a few damaged characters: texts in other encodings are hardly ever valid UTF-8."""
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if damaged and len(data) - len(text) < MIN_VALID_PER_DAMAGED * damaged:
        return None
    return "utf-8" if _is_prose(text[:DETECTION_BYTES]) else None


def _as_wide(data: bytes) -> str | None:
    """Detects UTF-16 and UTF-32 without a BOM: the NULs of ASCII characters are all on one side."""
    sample = data[:SNIFFED_BYTES]
    if b"\0" not in sample:
        return None
    is_little_endian = sample[1::2].count(0) > sample[0::2].count(0)
    narrow = "utf-16-le" if is_little_endian else "utf-16-be"
    candidates = ("utf-32-le", "utf-32-be", narrow) if len(data) % 4 == 0 else (narrow,)
    return next((name for name in candidates if _is_text(data, name) and _is_assigned(sample, name)), None)


def _is_assigned(sample: bytes, encoding: str) -> bool:
    """Whether the characters exist: random bytes in pairs or fours are valid, but mostly unassigned."""
    text = sample.decode(encoding, "ignore")
    unknown = sum(1 for character in text if not character.isprintable() and not character.isspace())
    return unknown <= len(text) * MAX_CONTROL_SHARE


def _as_ebcdic(data: bytes) -> str | None:
    """Detects the encoding of mainframes, in which the blank is "@" of ASCII."""
    sample = data[:DETECTION_BYTES]
    is_ebcdic = sample.count(b"@") > max(10 * sample.count(b" "), len(sample) / 20)
    return "cp037" if is_ebcdic and _is_text(sample, "cp037") else None


def _as_code_page(data: bytes) -> str | None:
    encoding = code_page_of(data)
    return encoding if encoding and _is_prose(data[:DETECTION_BYTES].decode(encoding, "replace")) else None


def _as_wide_han(data: bytes) -> str | None:
    """Detects UTF-16 without a BOM and without ASCII characters, as in some Chinese texts."""
    sample = data[:SNIFFED_BYTES]
    is_little_endian = len(set(sample[1::2])) < len(set(sample[0::2]))  # there are fewer high bytes than low ones
    encoding = "utf-16-le" if is_little_endian else "utf-16-be"
    return encoding if _is_text(data, encoding) and _is_assigned(sample, encoding) else None


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        text = data.decode(encoding)
    except (LookupError, ValueError):
        return False
    return _is_prose(text[:DETECTION_BYTES])


def _is_prose(text: str) -> bool:
    """Whether control characters are rare: random bytes decode in many encodings, but not to letters."""
    return len(_CONTROLS.findall(text)) <= len(text) * MAX_CONTROL_SHARE
