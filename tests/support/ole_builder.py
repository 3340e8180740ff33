"""Builds containers of old Office files (OLE2) and small files in them, according to [MS-CFB] and the formats' own."""

import struct
from itertools import pairwise
from pathlib import Path

SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5


def ole(streams: dict[str, bytes]) -> bytes:
    """Returns a container of these streams. A name may hold folders: `folder/name`.

    All streams are in ordinary sectors: the header says that no stream is small.
    """
    entries = _entries(streams)
    directory_sectors = -(-len(entries) // 4)
    starts, place = [], directory_sectors
    for _, _, data, _, _ in entries:
        starts.append(place if data else _END)
        place += -(-len(data) // SECTOR)
    fat_sectors = 1
    while fat_sectors * 128 < place + fat_sectors:
        fat_sectors += 1
    fat = [*range(1, directory_sectors), _END]
    for _, _, data, _, _ in entries:
        count = -(-len(data) // SECTOR)
        fat += [*range(len(fat) + 1, len(fat) + count), _END] if count else []
    fat += [_FAT] * fat_sectors
    fat += [_FREE] * (fat_sectors * 128 - len(fat))
    header = struct.pack("<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 62, 3, 0xFFFE, 9, 6, 0,
                         fat_sectors, 0, 0, 0, _END, 0, _END, 0)  # fmt: skip
    header += struct.pack("<109I", *range(place, place + fat_sectors), *[_FREE] * (109 - fat_sectors))
    directory = b"".join(
        _entry(name, kind, links, start, len(data))
        for (name, kind, data, *links), start in zip(entries, starts, strict=True)
    )
    directory += bytes(-len(directory) % SECTOR)
    contents = b"".join(data + bytes(-len(data) % SECTOR) for _, _, data, _, _ in entries)
    return header + directory + contents + struct.pack(f"<{len(fat)}I", *fat)


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
