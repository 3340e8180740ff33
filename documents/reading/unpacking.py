"""Unpacks the documents inside a document (members of archives, attachments of mails and PDFs). The child runs it.

Their files are named by numbers. The names that their authors chose never become part of a path.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from documents.errors import DocumentError, UnsupportedType, WrongType
from documents.parsers import Container, Member, Parser, readable_formats
from documents.parsers.file_structures.zip_limits import MAX_UNPACKED_BYTES
from documents.reading.format_detection import detect, format_of_name

MAX_MEMBERS = 1_000
MAX_NAME = 200
MAX_NAMES_IN_WARNING = 5

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass
class Unpacked:
    """Each of `members` is `{"file": its name in the folder, "name": a safe file name}`."""

    members: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def unpack(parser: Parser, path: Path, folder: Path | None) -> Unpacked:
    """Writes the members of the document at `path`, if its format has any, as files into `folder`.

    Without a folder they are not unpacked, and a warning explains that.
    """
    if not isinstance(parser, Container):
        return Unpacked()
    if folder is None:
        is_full = any(True for _ in parser.members(path))
        return Unpacked(warnings=["What is inside is nested too deeply: it was not unpacked."] if is_full else [])
    return _unpack_members(parser.members(path), folder)


def _unpack_members(members: Iterator[Member], folder: Path) -> Unpacked:
    unpacked = Unpacked()
    left, damaged, empty = MAX_UNPACKED_BYTES, [], []
    unreadable: dict[str, list[str]] = {}
    for number, member in enumerate(members):
        target, name = folder / str(number), safe_name(member.name)
        try:
            size = _write(member.blocks, target, left) if number < MAX_MEMBERS else 0
        except DocumentError:
            damaged.append(name)
            continue
        left -= size
        if number == MAX_MEMBERS or left < 0:
            unpacked.warnings.append(f"Only the first {number} documents inside were unpacked: split the file.")
            break
        if not size:
            empty.append(name)
        elif reason := _reason_to_leave_out(target, name):
            unreadable.setdefault(reason, []).append(name)
            target.unlink()
        else:
            unpacked.members.append({"file": target.name, "name": name})
    for reason, names in unreadable.items():
        unpacked.warnings += _warning(names, f"left out. {reason}")
    unpacked.warnings += [*_warning(damaged, "damaged, and left out"), *_warning(empty, "empty, and left out")]
    return unpacked


def _reason_to_leave_out(path: Path, name: str) -> str:
    """Returns why a member is not a document for this reader, such as a picture, or "".

    It is a warning of the outer document. A document that cannot be read, such as a damaged one, fails by itself when
    its turn comes.
    """
    readable = readable_formats()
    try:
        detect(path, name, readable)
    except UnsupportedType as error:
        return error.message.removesuffix(".")
    except WrongType as error:
        # The name of a document with something else in it is a failure. A picture with another's name is a picture.
        return "" if format_of_name(name) in readable else error.message.removesuffix(".")
    except DocumentError:
        return ""
    return ""


def _write(blocks: Iterable[bytes], target: Path, limit: int) -> int:
    """Returns how many bytes were written. It stops above the limit."""
    size = 0
    with target.open("wb") as file:
        for block in blocks:
            size += file.write(block)
            if size > limit:
                break
    return size


def _warning(names: list[str], reason: str) -> Iterator[str]:
    if names:
        more = f" and {len(names) - MAX_NAMES_IN_WARNING} more" if len(names) > MAX_NAMES_IN_WARNING else ""
        yield f"{', '.join(names[:MAX_NAMES_IN_WARNING])}{more}: {reason}."


def safe_name(name: str) -> str:
    """Returns the last part of the name without misleading characters. A long one is cut before its extension."""
    base = " ".join(_UNSAFE.sub(" ", re.split(r"[/\\]", name)[-1]).split()).strip()
    if base.strip(".") == "":
        return "unnamed"
    stem, dot, extension = base.rpartition(".")
    if dot and stem and len(extension) <= 20:
        return f"{stem[: MAX_NAME - len(extension) - 1]}.{extension}"
    return base[:MAX_NAME]
