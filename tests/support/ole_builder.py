"""Builds containers of old Office files (OLE2) and small files in them, according to [MS-CFB] and the formats' own."""

import struct
from itertools import pairwise
from pathlib import Path

SECTOR, MINI_SECTOR = 512, 64
SMALL = 4096
"""Smaller streams share sectors."""
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5


def ole(streams: dict[str, bytes]) -> bytes:
    """Returns a container of these streams. A name may hold folders: `folder/name`."""
    entries = _entries(streams)
    small = _Sectors(MINI_SECTOR)
    large = _Sectors(SECTOR)
    large.add(bytes(-(-len(entries) // 4) * SECTOR))  # the place of the directory
    starts = [(small if len(data) < SMALL else large).add(data) for _, _, data, _, _ in entries]
    starts[0] = large.add(small.data)  # the small streams are in the stream of the root
    sizes = [len(small.data), *(len(data) for _, _, data, _, _ in entries[1:])]
    small_chain = struct.pack(f"<{len(small.chain)}I", *small.chain)
    small_table = large.add(small_chain + b"\xff" * (-len(small_chain) % SECTOR))
    fat_sectors = -(-len(large.chain) // (SECTOR // 4 - 1))
    first = len(large.chain)
    chain = [*large.chain, *[_FAT] * fat_sectors]
    chain += [_FREE] * (fat_sectors * SECTOR // 4 - len(chain))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        *(62, 3, 0xFFFE, 9, 6, 0, fat_sectors, 0, 0, SMALL),
        *(small_table, -(-len(small_chain) // SECTOR), _END, 0),
    )
    header += struct.pack("<109I", *range(first, first + fat_sectors), *[_FREE] * (109 - fat_sectors))
    directory = b"".join(
        _entry(name, kind, links, start, size)
        for (name, kind, _, *links), start, size in zip(entries, starts, sizes, strict=True)
    )
    contents = directory + bytes(-len(directory) % SECTOR) + large.data[-(-len(directory) // SECTOR) * SECTOR :]
    return header + contents + struct.pack(f"<{len(chain)}I", *chain)


class _Sectors:
    """Data in sectors, and the chain that says which sector follows which."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = b""
        self.chain: list[int] = []

    def add(self, data: bytes) -> int:
        """Returns the first sector of the data."""
        if not data:
            return _END
        first, count = len(self.chain), -(-len(data) // self.size)
        self.data += data + bytes(-len(data) % self.size)
        self.chain += [*range(first + 1, first + count), _END]
        return first


def _entries(streams: dict[str, bytes]) -> list[tuple[str, int, bytes, int, int]]:
    """Returns the entries: name, kind, data, the next one in the same folder, and the first one inside."""
    names: dict[str, list[str]] = {"": []}
    for path in streams:
        parts = path.split("/")
        for depth in range(len(parts)):
            parent, name = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
            if name not in names.setdefault(parent, []):
                names[parent].append(name)
    for inside in names.values():
        inside.sort(key=lambda path: (len(path.rpartition("/")[2]), path.rpartition("/")[2].upper()))
    order = ["", *(path for inside in names.values() for path in inside)]
    numbers = {path: number for number, path in enumerate(order)}
    after = {left: right for inside in names.values() for left, right in pairwise(inside)}
    found = []
    for path in order:
        inside = names.get(path, [])
        kind = _ROOT if not path else _STREAM if path in streams else _STORAGE
        following = numbers[after[path]] if path in after else _FREE
        first = numbers[inside[0]] if inside else _FREE
        found.append((path.rpartition("/")[2] or "Root Entry", kind, streams.get(path, b""), following, first))
    return found


def _entry(name: str, kind: int, links: list[int], start: int, size: int) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    following, first = links
    return struct.pack("<64sHBBIII36xIQ", encoded, len(encoded), kind, 1, _FREE, following, first, start, size)


def write_ole(path: Path, streams: dict[str, bytes]) -> Path:
    path.write_bytes(ole(streams))
    return path


def _record(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def biff5(sheets: dict[str, bytes], formats: tuple[str, ...] = (), before: bytes = b"") -> bytes:
    """Returns a workbook of Excel 5. `sheets` are records by name. Cells have style 0 or, for `formats`, 1 and up.

    `before` are records after the first one of the workbook.
    """
    font = struct.pack("<HHHHHBBBB", 200, 0, 0x7FFF, 400, 0, 0, 0, 0, 0) + b"\x05Arial"
    raised = struct.pack("<HHHHHBBBB", 200, 0, 0x7FFF, 400, 1, 0, 0, 0, 0) + b"\x05Arial"
    fonts = _record(0x31, font) * 4 + _record(0x31, raised)
    codes = [_record(0x41E, struct.pack("<HB", 200 + n, len(code)) + code.encode("cp1252"))
             for n, code in enumerate(formats)]  # fmt: skip
    numbers = [0, *range(200, 200 + len(formats))]
    styles = [_record(0xE0, struct.pack("<HHHHHHHH", 0, number, 0x0001, 0, 0, 0, 0, 0)) for number in numbers]
    styles.append(_record(0xE0, struct.pack("<HHHHHHHH", 5, 0, 0x0001, 0, 0, 0, 0, 0)))
    start = _record(0x809, struct.pack("<HHHH", 0x500, 5, 0, 0)) + before + _record(0x42, struct.pack("<H", 1252))
    head = start + fonts + b"".join(codes + styles)
    bodies = [_record(0x809, struct.pack("<HHHH", 0x500, 16, 0, 0)) + body + _record(10) for body in sheets.values()]
    listed = sum(4 + 7 + len(name) for name in sheets) + 4
    place, links = len(head) + listed, b""
    for name, body in zip(sheets, bodies, strict=True):
        links += _record(0x85, struct.pack("<IHB", place, 0, len(name)) + name.encode("cp1252"))
        place += len(body)
    return head + links + _record(10) + b"".join(bodies)


def number_cell(row: int, column: int, value: float, style: int = 0) -> bytes:
    return _record(0x203, struct.pack("<HHHd", row, column, style, value))


def text_cell(row: int, column: int, text: str, style: int = 0) -> bytes:
    data = text.encode("cp1252")
    return _record(0x204, struct.pack("<HHHH", row, column, style, len(data)) + data)


FILE_PASS = _record(0x2F, bytes(54))
"""The record of a workbook that is encrypted."""


def _page_of_characters(ranges: list[tuple[int, int, bytes]]) -> bytes:
    """Returns a page that gives characters their properties ([MS-DOC] 2.9.33)."""
    places = [start for start, _, _ in ranges] + [ranges[-1][1]]
    page = bytearray(SECTOR)
    struct.pack_into(f"<{len(places)}I", page, 0, *places)
    end = SECTOR - 2
    for number, (_, _, properties) in enumerate(ranges):
        if properties:
            end -= (len(properties) + 2) // 2 * 2
            page[4 * len(places) + number] = end // 2
            page[end : end + 1 + len(properties)] = bytes([len(properties)]) + properties
    page[-1] = len(ranges)
    return bytes(page)


def _page_of_paragraphs(ranges: list[tuple[int, int, bytes]]) -> bytes:
    """Returns a page that gives paragraphs their properties ([MS-DOC] 2.9.175)."""
    places = [start for start, _, _ in ranges] + [ranges[-1][1]]
    page = bytearray(SECTOR)
    struct.pack_into(f"<{len(places)}I", page, 0, *places)
    end = SECTOR - 2
    for number, (_, _, properties) in enumerate(ranges):
        if properties:
            listed = bytes(2) + properties + bytes(len(properties) % 2 == 0)  # the style first; an odd number
            end -= len(listed) + 1
            page[4 * len(places) + 13 * number] = end // 2
            page[end : end + 1 + len(listed)] = bytes([(len(listed) + 1) // 2]) + listed
    page[-1] = len(ranges)
    return bytes(page)


DELETED, HIDDEN = struct.pack("<HB", 0x0800, 1), struct.pack("<HB", 0x083C, 1)
RAISED = struct.pack("<HB", 0x2A48, 1)
IN_SYMBOL = struct.pack("<Hh", 0x4A4F, 0)
SYMBOL = struct.pack("<HhH", 0x6A09, 0, 0xF06D)
_ROW_END = struct.pack("<HB", 0x2417, 1)


def doc(
    runs: list[tuple[str, bytes]], notes: str = "", flags: int = 0x0200, *, is_narrow: bool = False
) -> dict[str, bytes]:
    """Returns the streams of a Word document. `runs` are texts with their properties. `\\x1c` ends a table's row.

    `notes` are the footnotes. The only font of the document is Symbol.
    """
    encoding, width = ("cp1252", 1) if is_narrow else ("utf-16-le", 2)
    text = "".join(run for run, _ in runs)
    start = 1024
    data = (text + notes).replace("\x1c", "\x07").encode(encoding)
    ranges, place = [], start
    for run, properties in [*runs, (notes, b"")]:
        if run:
            ranges.append((place, place + width * len(run), properties))
            place += width * len(run)
    marks, place = [], start
    for number, character in enumerate(text + notes):
        if character in "\r\x07\x1c":
            end = start + width * (number + 1)
            marks.append((place, end, _ROW_END if character == "\x1c" else b""))
            place = end
    body = data + bytes(-len(data) % SECTOR)
    pages = (start + len(body)) // SECTOR
    font = b"\0" * 39 + "Symbol\0".encode("utf-16-le")
    place_of_text = start * 2 | 0x40000000 if is_narrow else start
    parts = {
        33: b"\x02" + struct.pack("<IIIHIH", 20, 0, len(text + notes), 0, place_of_text, 0),
        12: struct.pack("<III", start, start + len(data), pages),
        13: struct.pack("<III", start, start + len(data), pages + 1),
        15: struct.pack("<HH", 1, 0) + bytes([len(font)]) + font,
    }
    main = bytearray(start)
    struct.pack_into("<HH", main, 0, 0xA5EC, 193)
    struct.pack_into("<H", main, 0x0A, flags)
    struct.pack_into("<8i", main, 0x4C, len(text), len(notes), 0, 0, 0, 0, 0, 0)
    table = b""
    for number, part in parts.items():
        struct.pack_into("<II", main, 0x9A + 8 * number, len(table), len(part))
        table += part
    paragraphs = marks or [(start, start + len(data), b"")]
    return {
        "WordDocument": bytes(main) + body + _page_of_characters(ranges) + _page_of_paragraphs(paragraphs),
        "1Table": table,
    }


def atom(kind: int, data: bytes, instance: int = 0) -> bytes:
    """Returns a record of a PowerPoint presentation."""
    return struct.pack("<HHI", instance << 4, kind, len(data)) + data


def holder(kind: int, *records: bytes, instance: int = 0) -> bytes:
    """Returns a record that holds others."""
    data = b"".join(records)
    return struct.pack("<HHI", instance << 4 | 0x0F, kind, len(data)) + data


def ppt(slides: list[tuple[str, str, str]], token: int = 0xE391C05F) -> dict[str, bytes]:
    """Returns the streams of a presentation. `slides` are texts in the outline, texts in boxes, and notes."""

    def chars(text: str) -> bytes:
        return atom(4000, text.encode("utf-16-le"))

    listed, said, parts = b"", b"", []
    for number, (outline, box, note) in enumerate(slides):
        listed += atom(1011, struct.pack("<IIIII", 2 + 2 * number, 0, 0, 256 + number, 0)) + chars(outline)
        parts.append(holder(1006, holder(1036, holder(0xF002, holder(0xF003, holder(0xF00D, chars(box)))))))
        said += atom(1011, struct.pack("<IIIII", 3 + 2 * number, 0, 0, 512 + number, 0))
        about = atom(1009, struct.pack("<II", 256 + number, 0))
        parts.append(holder(1008, about, holder(1036, holder(0xF00D, atom(4008, note.encode("latin-1"))))))
    document = holder(1000, holder(4080, listed), holder(4080, said, instance=2))
    data, places = b"", []
    for part in [document, *parts]:
        places.append(len(data))
        data += part
    listing = len(data)
    data += atom(6002, struct.pack(f"<I{len(places)}I", len(places) << 20 | 1, *places))
    edit = len(data)
    data += atom(4085, struct.pack("<IIIIIII", 0, 0, 0, listing, 1, len(places), 0))
    return {
        "PowerPoint Document": data,
        "Current User": atom(4086, struct.pack("<III", 20, token, edit) + bytes(12)),
    }


def msg(properties: dict[str, str | bytes], folder: str = "", header: int = 32, fixed: bytes = b"") -> dict[str, bytes]:
    """Returns the streams of a mail of Outlook, or of an attachment. Names are numbers, such as `0037`."""
    start = f"{folder}/" if folder else ""
    found = {f"{start}__properties_version1.0": bytes(header) + fixed}
    for number, value in properties.items():
        kind, data = ("001F", value.encode("utf-16-le")) if isinstance(value, str) else ("0102", value)
        found[f"{start}__substg1.0_{number}{kind}"] = data
    return found


def summary(title: str, count: int = 2) -> dict[str, bytes]:
    """Returns the stream with a document's title. `count` is how many properties it says that there are."""
    data = title.encode("cp1252") + b"\0"
    values = struct.pack("<Ihxx", 2, 1252) + struct.pack("<II", 0x1E, len(data)) + data
    section = struct.pack("<IIIIII", 24 + len(values), count, 1, 24, 2, 32) + values
    return {"\x05SummaryInformation": struct.pack("<HHI16xI16xI", 0xFFFE, 0, 0, 1, 48) + section}
