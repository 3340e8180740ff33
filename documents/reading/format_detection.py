"""Detects the format of a file by its content, not by its name."""

import json
import mmap
import re
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from zipfile import ZipFile

from documents.errors import Corrupt, Empty, Encrypted, UnsupportedType, WrongType
from documents.parsers.decoding import DETECTION_BYTES, decode
from documents.parsers.file_structures.ole import OLE_DAMAGE, open_ole
from documents.parsers.file_structures.safe_xml import Element, attribute, local_name, parse_xml
from documents.parsers.file_structures.zip_limits import open_zip, plain_name, small_part
from documents.parsers.mail.mbox import is_mailbox
from documents.parsers.pdf.source import begins_with_header, is_pdf_inside
from documents.parsers.pictures import ocr
from documents.parsers.text_files.csv import is_table

HEAD_BYTES = 4096

_EXTENSIONS = {
    "docm": "docx",
    "dot": "doc",
    "dotm": "docx",
    "dotx": "docx",
    "fodg": "odg",
    "fodp": "odp",
    "fods": "ods",
    "fodt": "odt",
    "htm": "html",
    "jpg": "jpeg",
    "jsonl": "json",
    "markdown": "md",
    "mht": "eml",
    "mhtml": "eml",
    "ndjson": "json",
    "odm": "odt",
    "otg": "odg",
    "otp": "odp",
    "ots": "ods",
    "ott": "odt",
    "pot": "ppt",
    "potx": "pptx",
    "pps": "ppt",
    "text": "txt",
    "pptm": "pptx",
    "ppsx": "pptx",
    "tab": "tsv",
    "tif": "tiff",
    "xhtml": "html",
    "xla": "xls",
    "xlsb": "xlsx",
    "xlsm": "xlsx",
    "xlt": "xls",
    "xltm": "xlsx",
    "xltx": "xlsx",
}
"""Other extensions of formats. The name of a format is an extension, too."""

_DESCRIPTIONS = {
    "bmp": "a picture",
    "csv": "a table of comma-separated values",
    "doc": "a Word document of the old format (.doc)",
    "docx": "a Word document",
    "eml": "a mail",
    "epub": "an EPUB book",
    "exe": "a program",
    "gif": "a picture",
    "gz": "a compressed archive",
    "html": "a web page",
    "iwork": "a file of Pages, Numbers or Keynote",
    "jpeg": "a picture",
    "json": "JSON data",
    "mbox": "a mailbox",
    "md": "a Markdown text",
    "mp3": "a sound file",
    "mp4": "a video",
    "msg": "a mail of Outlook (.msg)",
    "odg": "an OpenDocument drawing",
    "odp": "an OpenDocument presentation",
    "ods": "an OpenDocument spreadsheet",
    "odt": "an OpenDocument text",
    "ole": "a file of an old Office format",
    "package": "an Office file of another kind",
    "pdf": "a PDF",
    "png": "a picture",
    "ppt": "a PowerPoint presentation of the old format (.ppt)",
    "pptx": "a PowerPoint presentation",
    "rar": "a compressed archive",
    "rtf": "a Rich Text document",
    "tiff": "a picture",
    "tsv": "a table of tab-separated values",
    "tnef": "Outlook's package of a mail's attachments (winmail.dat)",
    "txt": "plain text",
    "webp": "a picture",
    "xls": "an Excel workbook of the old format (.xls)",
    "xlsx": "an Excel workbook",
    "xml": "XML data",
    "zip": "a ZIP archive",
    "7z": "a compressed archive",
}

_OLD_FORMATS = {"docx": "doc", "pptx": "ppt"}
"""Formats with the older one that their programs refuse to open under the newer name."""
_ARCHIVES = {"7z", "gz", "rar", "zip"}
_PICTURES = {"bmp", "gif", "jpeg", "png", "tiff", "webp"}
_OTHER_PROGRAMS = {"iwork": "PDF"}
"""The format in which the program of such a file can save it."""
_DOCUMENTS = {
    "doc",
    "eml",
    "epub",
    "mbox",
    "msg",
    "ppt",
    "odg",
    "odp",
    "ods",
    "odt",
    "package",
    "pptx",
    "rtf",
    "xls",
    "xlsx",
    "xml",
}
_TEXT_FORMATS = {"csv", "eml", "json", "md", "tsv", "txt", "xml"}

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES = (
    (b"{\\rtf", "rtf"),
    (b"MZ", "exe"),
    (b"\x7fELF", "exe"),
    (b"\xca\xfe\xba\xbe", "exe"),
    (b"\xcf\xfa\xed\xfe", "exe"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"\x1f\x8b", "gz"),
    (b"Rar!\x1a\x07", "rar"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"ID3", "mp3"),
    (b"\x78\x9f\x3e\x22", "tnef"),
)
_OLD_WORKBOOKS = (b"\x09\x08\x10\0", b"\x09\x08\x08\0", b"\x09\x04\x06\0", b"\x09\x02\x06\0", b"\x09\0\x04\0")
"""The beginnings of Excel workbooks that are not in a container: Excel 2 to 4, and some of later versions."""
_OLE2_STREAMS = (
    ("__substg1.0_", "msg"),
    ("__properties_version1.0", "msg"),
    ("WordDocument", "doc"),
    ("PowerPoint Document", "ppt"),
    ("Workbook", "xls"),
    ("Book", "xls"),
    ("EncryptedPackage", "encrypted"),
)
_OFFICE_DOCUMENT = "/officeDocument"
_MAIN_PARTS = (
    (("wordprocessingml", "ms-word"), "docx"),
    (("presentationml", "ms-powerpoint"), "pptx"),
    (("spreadsheetml", "ms-excel"), "xlsx"),
)
_OPENDOCUMENT = {
    "text": "odt",
    "text-master": "odt",
    "text-web": "odt",
    "spreadsheet": "ods",
    "presentation": "odp",
    "graphics": "odg",
    "chart": "odg",
    "formula": "odg",
    "writer": "odt",
    "impress": "odp",
    "draw": "odg",
}
"""The formats of OpenDocument by the end of their media type, also those of OpenOffice 1 (`sun.xml`)."""
_MEDIA_TYPE = re.compile(r"application/vnd\.(?:oasis\.opendocument|sun\.xml)\.([a-z-]+)")
_FLAT_OPENDOCUMENT = re.compile(r"<(?:\w+:)?document\s[^>]*?:mimetype\s*=\s*[\"']([^\"']+)")
_EPUB = b"application/epub+zip"
_PARTS = {
    "META-INF/container.xml": "epub",
    "META-INF/MANIFEST.MF": "exe",
    "AndroidManifest.xml": "exe",
    "Index/Document.iwa": "iwork",
}
"""The format of a ZIP file by the name of one of its parts."""
_HTML = re.compile(
    r"\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAIL_HEADER = re.compile(
    r"^(from|to|cc|subject|date|message-id|mime-version|received|return-path|delivered-to|content-type): ?\S",
    re.IGNORECASE | re.MULTILINE,
)
_MAIL = re.compile(r"(From .*\n)?[A-Za-z][A-Za-z-]*: ?\S")
MIN_MAIL_HEADERS = 3
JSON_TRIED_CHARACTERS = 100_000


@dataclass(frozen=True)
class Detected:
    format: str
    warnings: list[str] = field(default_factory=list)


def detect(path: Path, filename: str, readable: Set[str]) -> Detected:
    """Returns the format of the file at `path`, one of `readable`.

    A format that this module cannot detect by content, such as one of an extra app, is detected by the extension of
    `filename`. Raises Empty, Corrupt, Encrypted, TooLarge, TooComplex, WrongType or UnsupportedType.
    """
    if path.stat().st_size == 0:
        raise Empty()
    named = format_of_name(filename)
    found = _format_of_content(path, named)
    if named in readable - _DESCRIPTIONS.keys() and found in {"", "ole", "txt", "zip"}:
        found = named
    if found not in readable:
        _refuse(found, named)
    if _OLD_FORMATS.get(named) == found:
        raise WrongType(
            f"The name says {_DESCRIPTIONS[named]}, but this is {_DESCRIPTIONS[found]}: give it the ending .{found}."
        )
    if named in _DESCRIPTIONS and named != found:
        warning = f"The name says {_DESCRIPTIONS[named]}, but this is {_DESCRIPTIONS[found]}. It was read as such."
        return Detected(found, [warning])
    return Detected(found)


def format_of_name(filename: str) -> str:
    extension = Path(filename).suffix.removeprefix(".").lower()
    return _EXTENSIONS.get(extension, extension)


def _format_of_content(path: Path, named: str) -> str:
    """Returns a key of `_DESCRIPTIONS`, or "" for unknown binary data."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if begins_with_header(head):
        return "pdf"
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _format_of_zip(path)
    if head.startswith(_OLE2):
        return _format_of_ole2(path)
    if head.startswith(_OLD_WORKBOOKS):
        return "xls"
    # Before other signatures: a file with this name may have any bytes before its header.
    if named not in {*_TEXT_FORMATS, "html"} and is_pdf_inside(path, is_named_so=named == "pdf"):
        return "pdf"
    return _format_of_signature(head) or _format_of_text(path, named)


def _format_of_signature(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "mp4"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return next(
        (name for signature, name in _SIGNATURES if head.startswith(signature) and _is_plausible(head, name)),
        "",
    )


def _is_plausible(head: bytes, name: str) -> bool:
    """Whether the signature counts: texts may begin with the letters MZ or ID3, so these only count in binary data."""
    return name not in {"exe", "mp3"} or any(byte < 9 for byte in head)


def _format_of_ole2(path: Path) -> str:
    """Distinguishes old Office files and encrypted new ones, which share a container, by the names of its streams."""
    names = _streams(path)
    for stream, name in _OLE2_STREAMS:
        if any(found.lower().startswith(stream.lower()) for found in names):
            if name == "encrypted":
                raise Encrypted()
            return name
    return "ole"


def _streams(path: Path) -> list[str]:
    """Returns the names of the streams at the top of the container, or those that a damaged one mentions."""
    try:
        with open_ole(path) as container:
            return [entry[0] for entry in container.listdir(streams=True, storages=True)]
    except (Corrupt, *OLE_DAMAGE):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return [stream for stream, _ in _OLE2_STREAMS if data.find(stream.encode("utf-16-le")) >= 0]


def _format_of_zip(path: Path) -> str:
    with open_zip(path) as archive:
        if "[Content_Types].xml" in archive.NameToInfo:
            return _format_of_package(archive)
        mimetype = small_part(archive, "mimetype").strip()
        if mimetype.startswith(_EPUB):
            return "epub"
        if name := _format_of_opendocument(archive, mimetype):
            return name
        return next((name for part, name in _PARTS.items() if part in archive.NameToInfo), "zip")


def _format_of_opendocument(archive: ZipFile, mimetype: bytes) -> str:
    """Returns the format of an OpenDocument file by its type, or by its list of parts, or "". Raises Encrypted."""
    manifest = small_part(archive, "META-INF/manifest.xml")
    name = _opendocument(mimetype.decode("latin-1"))
    if not name and "content.xml" in archive.NameToInfo:
        name = _opendocument(manifest.decode("latin-1"))
    if name and b"encryption-data" in manifest:
        raise Encrypted()
    return name


def _opendocument(text: str) -> str:
    """Returns the format that a media type of OpenDocument names, or ""."""
    found = _MEDIA_TYPE.search(text)
    kind = found[1].removesuffix("-template") if found else ""
    return _OPENDOCUMENT.get(kind, "")


def _format_of_package(archive: ZipFile) -> str:
    """Returns the format of an Office Open XML file by the content type of its main part. Raises Corrupt."""
    main = _main_part(archive)
    if main not in archive.NameToInfo:
        raise Corrupt("The file is an Office document without its main part: save it again in its own program.")
    content_type = _content_type(archive, main)
    return next((name for marks, name in _MAIN_PARTS if any(mark in content_type for mark in marks)), "package")


def _main_part(archive: ZipFile) -> str:
    for relationship in _entries(archive, "_rels/.rels"):
        if attribute(relationship, "Type").endswith(_OFFICE_DOCUMENT):
            return attribute(relationship, "Target").replace("\\", "/").removeprefix("./").lstrip("/")
    return ""


def _content_type(archive: ZipFile, part: str) -> str:
    """Returns the content type of a part. Names are compared as Office does: in any case, with either slash."""
    extension = part.rpartition(".")[2].lower()
    default = ""
    for entry in _entries(archive, "[Content_Types].xml"):
        if plain_name(attribute(entry, "PartName")) == plain_name(part):
            return attribute(entry, "ContentType")
        if local_name(entry) == "Default" and attribute(entry, "Extension").lower() == extension:
            default = attribute(entry, "ContentType")
    return default


def _entries(archive: ZipFile, name: str) -> list[Element]:
    data = small_part(archive, name)
    if not data:
        raise Corrupt()
    return [entry for entry in parse_xml(data) if local_name(entry)]


def _format_of_text(path: Path, named: str) -> str:
    with path.open("rb") as file:
        text = decode(file.read(DETECTION_BYTES))
    if text is None:
        return ""
    if flat := _FLAT_OPENDOCUMENT.search(text[:HEAD_BYTES]):
        return _opendocument(flat[1]) or "xml"
    if text.startswith("From ") and is_mailbox(path, is_named_so=named == "mbox"):
        return "mbox"
    # HTML first: a page is also text, and may begin like XML or contain lines like mail headers.
    if named == "html" or _HTML.match(text[:HEAD_BYTES]):
        return "html"
    if named in _TEXT_FORMATS:
        return named
    if text.lstrip().startswith("<?xml"):
        return "xml"
    if _MAIL.match(text) and len(_MAIL_HEADER.findall(text[:HEAD_BYTES])) >= MIN_MAIL_HEADERS:
        return "eml"
    if _is_json(text):
        return "json"
    return "csv" if is_table(text) else "txt"


def _is_json(text: str) -> bool:
    """Whether the text is JSON. A small file is parsed, of a large one only the beginning is checked."""
    text = text.strip()
    if not text.startswith(("{", "[")):
        return False
    if len(text) >= JSON_TRIED_CHARACTERS:
        return text[1:].lstrip().startswith(('"', "{", "["))
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _refuse(found: str, named: str) -> NoReturn:
    """Raises the error for a file that cannot be read: a wrong type or an unsupported type."""
    if found in _OTHER_PROGRAMS:
        raise UnsupportedType(f"This is {_DESCRIPTIONS[found]}: save it as {_OTHER_PROGRAMS[found]} and upload that.")
    if named in _DESCRIPTIONS and named != found and found not in _DOCUMENTS:
        content = _DESCRIPTIONS.get(found, "binary data of an unknown kind")
        raise WrongType(f"The name says {_DESCRIPTIONS[named]}, but this is {content}: upload the original.")
    if not found:
        raise UnsupportedType()
    raise UnsupportedType(f"This is {_DESCRIPTIONS[found]}, which cannot be read: {_remedy(found)}.")


def _remedy(found: str) -> str:
    if found == "tnef":
        return "open the mail in Outlook, save the attachments and upload those"
    if found in _PICTURES:
        return ocr.advice_for_pictures()
    if found in _ARCHIVES:
        return "unpack it and upload the files in it"
    return "save it as PDF, DOCX or text and upload that"
