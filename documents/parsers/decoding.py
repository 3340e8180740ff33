"""From bytes to text, whatever the encoding."""

import codecs
import re
from pathlib import Path

from charset_normalizer import from_bytes

from documents.errors import TooLarge, WrongType
from documents.parsers import MAX_CHARACTERS

DETECTION_BYTES = 300_000
SNIFFED_BYTES = 4096
MAX_CONTROL_SHARE = 0.02
MIN_VALID_PER_DAMAGED = 10
MAX_NUL_SHARE = 0.1
"""Of a text that a crash or an old program has padded."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN_LETTERS = "àáâãäåæçèéêëìíîïñòóôõöøùúûüßœÿÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ"
_WESTERN_SIGNS = "€‚„…‘’“”‹›•–—™\xa0¡¢£§ª«°º»©®±²³¹·´µ¼½¾¿×\xad"
_NOT_WESTERN = re.compile(
    f"[^\\x00-\\x7f{_WESTERN_LETTERS}{_WESTERN_SIGNS}]"
    f"|[{_WESTERN_LETTERS}]{{3}}"  # whole words of accented letters: Hebrew, Greek, Cyrillic
    "|[a-z][¹¿]|³[a-z]"  # Polish read as Western
    "|[a-zß-ÿ][À-Ý]"  # a capital within a word
)
_RIGHT_TO_LEFT = (
    ("cp1255", re.compile(rb"[\xe0-\xfa]{2,}")),
    ("iso8859_6", re.compile(rb"[\xc1-\xda\xe0-\xea]{2,}")),
)
"""Words of their letters. Cyrillic has letters at further places, other scripts have none that follow one another."""
_HIGH = re.compile(rb"[\x80-\xff]")
MIN_WORDS_SHARE = 0.85
MIN_HIGH = 40
_ISO_8859_2 = re.compile(rb"[\xa6\xa9\xae\xb1\xb6\xb9\xbc\xbe]")
_ONLY_IN_CP1250 = re.compile(rb"[\x80-\x9f]")
"""Letters that the two have at different places, and where only one of them has any."""
_WIDER = {
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
"""What is meant by these names: files hold characters that their encoding lacks and its successor has."""
_NOT_BELIEVED = re.compile("utf-?(8|16|32)|ucs|unicode|raw|idna|punycode|undefined")
"""UTF is told by the bytes; what else Python has is no encoding of files."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f-\x9f\ufffd]")


def read_text(path: Path, declares: re.Pattern[bytes] | None = None) -> str:
    """The file's text with `\\n` line ends. Raises TooLarge, and WrongType when it is no text in any encoding.

    What `declares` finds first in the file names its encoding.
    """
    data = path.read_bytes()
    text = decode(data, declared_in(data, declares) if declares else "")
    if text is None:
        raise WrongType("The file holds no readable text: upload the original document, or save it as UTF-8 text.")
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"The file has {len(text) // 1_000_000} million characters of text: split it.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def declared_in(data: bytes, declares: re.Pattern[bytes]) -> str:
    """The first group of the pattern; "" without one."""
    found = declares.search(data)
    return found[1].decode("ascii", "ignore") if found else ""


def decode(data: bytes, declared: str = "") -> str | None:
    """`data` as text, or None for binary data. A damaged character in a long file becomes U+FFFD.

    `declared` is the encoding that the file or its mail names; many are wrong, and then it does not count.
    """
    encoding = _as_declared(data, declared) or encoding_of(data)
    if encoding is None:
        return None
    return data.decode(encoding, "replace").removeprefix("\ufeff")


def encoding_of(data: bytes) -> str | None:
    """The encoding in which `data` reads as text: by its mark, UTF-8, by its NULs, Western, by a detector."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return encoding
    for guess in (_as_escaped, _as_utf8, _as_wide, _as_western, _as_mac, _as_right_to_left, _as_detected):
        encoding_found = guess(data)
        if encoding_found is not None:
            return encoding_found
    if 0 < data.count(0) <= MAX_NUL_SHARE * len(data):
        return encoding_of(data.replace(b"\0", b""))
    return None


def _as_declared(data: bytes, name: str) -> str | None:
    """The encoding of that name, unless there is a mark, or every letter is UTF-8: neither comes by chance."""
    encoding = _WIDER.get(name.lower(), name.lower())
    if not encoding or _NOT_BELIEVED.match(encoding) or any(data.startswith(mark) for mark, _ in _BOMS):
        return None
    if not data.isascii() and _is_text(data, "utf-8"):
        return None
    return encoding if _is_text(data, encoding) else None


def _as_escaped(data: bytes) -> str | None:
    """ISO-2022-JP: ASCII bytes only, so that UTF-8 would take it as well."""
    return "iso2022_jp" if b"\x1b$" in data and _is_text(data, "iso2022_jp") else None


def _as_utf8(data: bytes) -> str | None:
    """UTF-8, even with a few damaged characters: in other encodings hardly any sequence is valid UTF-8."""
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if damaged and len(data) - len(text) < MIN_VALID_PER_DAMAGED * damaged:
        return None
    return "utf-8" if _is_prose(text[:DETECTION_BYTES]) else None


def _as_wide(data: bytes) -> str | None:
    """UTF-16 and UTF-32 without a mark: ASCII characters put their NULs on one side."""
    sample = data[:SNIFFED_BYTES]
    if b"\0" not in sample:
        return None
    is_little_endian = sample[1::2].count(0) > sample[0::2].count(0)
    narrow = "utf-16-le" if is_little_endian else "utf-16-be"
    candidates = ("utf-32-le", "utf-32-be", narrow) if len(data) % 4 == 0 else (narrow,)
    return next((name for name in candidates if _is_text(data, name) and _is_assigned(sample, name)), None)


def _is_assigned(sample: bytes, encoding: str) -> bool:
    """Whether the characters exist: junk bytes in pairs or fours are valid, but mostly no character."""
    text = sample.decode(encoding, "ignore")
    unknown = sum(1 for character in text if not character.isprintable() and not character.isspace())
    return unknown <= len(text) * MAX_CONTROL_SHARE


def _as_western(data: bytes) -> str | None:
    """cp1252, where the detector wavers between a dozen code pages that differ in the accents only."""
    try:
        text = data[:DETECTION_BYTES].decode("cp1252")
    except UnicodeDecodeError:
        return None
    is_hungarian = "õ" in text and not re.search("[ãä]", text)
    if is_hungarian or _NOT_WESTERN.search(text) or not _is_prose(text):
        return None
    return "cp1252"


def _as_mac(data: bytes) -> str | None:
    """The Western encoding of old Macs, whose letters no other encoding has at the same places."""
    text = data[:DETECTION_BYTES].decode("mac_roman")
    is_mac = re.search(f"[a-z][{_WESTERN_LETTERS}]", text) and not _NOT_WESTERN.search(text)
    return "mac_roman" if is_mac and _is_prose(text) else None


def _as_right_to_left(data: bytes) -> str | None:
    """Hebrew and Arabic, which the detector takes for Cyrillic."""
    sample = data[:DETECTION_BYTES]
    high = len(_HIGH.findall(sample))
    for encoding, words in _RIGHT_TO_LEFT:
        if high > MIN_HIGH and len(b"".join(words.findall(sample))) > MIN_WORDS_SHARE * high:
            return encoding if _is_prose(sample.decode(encoding, "replace")) else None
    return None


def _as_detected(data: bytes) -> str | None:
    sample = data[:DETECTION_BYTES]
    match = from_bytes(sample, cp_exclusion=["cp1252", "latin_1"]).best()
    if match is None:
        return None
    is_iso = match.encoding == "cp1250" and _ISO_8859_2.search(sample) and not _ONLY_IN_CP1250.search(sample)
    encoding = "iso8859_2" if is_iso else match.encoding
    return encoding if _is_prose(sample.decode(encoding, "replace")) else None


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        text = data.decode(encoding)
    except (LookupError, ValueError):
        return False
    return _is_prose(text[:DETECTION_BYTES])


def _is_prose(text: str) -> bool:
    """Whether control characters are rare: junk bytes decode in many encodings, but not to letters."""
    return len(_CONTROLS.findall(text)) <= len(text) * MAX_CONTROL_SHARE
