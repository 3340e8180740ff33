"""Reads the test files of other projects as a worker does, and lists what is wrong, refused or slow.

    python bench/odd_files.py [--sample N] chardet=FOLDER pdf.js=FOLDER tika=FOLDER pandoc=FOLDER

It writes bench/ODD_FILES.md. The folders are checkouts of these projects, which are not part of this one. In a project
called chardet, the folder of a file names its encoding, and the text must be the one in that encoding. `--sample 300`
reads about 300 files of each other project, evenly spread.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.documents.sections import table
from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles

OUTPUT = Path(__file__).resolve().parent / "ODD_FILES.md"
SECONDS = 60
MEMORY = 1_500_000_000
AT_A_TIME = 2
SLOW_SECONDS = 10
MAX_JUNK = 0.02
MAX_NAMES = 12

CHARDET = "chardet"
_CODECS = {
    "Big5": "big5hkscs",
    "EUC-KR": "cp949",
    "EUC-TW": "",
    "GB2312": "gb18030",
    "IBM855": "cp855",
    "IBM866": "cp866",
    "MacCyrillic": "mac_cyrillic",
    "MacRoman": "mac_roman",
    "SHIFT_JIS": "cp932",
    "TIS-620": "cp874",
    "iso-8859-1": "cp1252",
    "iso-8859-9": "cp1254",
}
"""Python's names for chardet's encodings, and the successors in which their texts are really written."""
_LANGUAGE = re.compile(r"-[a-z]{5,}$")
_SAME_SIGNS = str.maketrans({"〜": "～", "−": "－", "―": "—", "・": "·", "¶": "Ά", "΄": "Ά"})
"""Signs at the same place in encodings of the same name."""
_JUNK = re.compile("[\x80-\x9f\ufffd\ue000-\uf8ff]|/[Gg]\\d{2,3}(?=/)")
_NO_DOCUMENT = re.compile(
    r"\.(link|gitignore|py|hs|java|lua|css|js|mjs|sh|bib|csl|wasm|class|jar|properties)$|^README", re.I
)

KNOWN = {
    "EUC-TW/_ude_euc-tw1.txt": "Python has no codec for EUC-TW",
    "MacRoman/ioreg_output.txt": "its only letter above ASCII is one apostrophe",
    "ascii/_mozilla_bug638318_text.html": "the file holds NULs and control characters in every line",
}
"""Why the remaining files of chardet are wrong."""


@dataclass
class Outcome:
    """How one file was read. `code` is "read", "wrong" or the code of an error."""

    project: str
    name: str
    code: str
    reason: str
    seconds: float

    @property
    def is_refused(self) -> bool:
        return self.code not in {"read", "wrong"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--sample", type=int, default=0, help="about how many files of each project; default: all")
    options = parser.parse_args()
    files = []
    for project in options.projects:
        name, _, folder = project.partition("=")
        found = sorted(
            path for path in Path(folder).rglob("*") if path.is_file() and not _NO_DOCUMENT.search(path.name)
        )
        step = 1 if name == CHARDET or not options.sample else max(1, len(found) // options.sample)
        files += [(name, Path(folder), path) for path in found[::step]]
    outcomes = asyncio.run(_read_all(files))
    OUTPUT.write_text(_report(outcomes, options.sample), encoding="utf-8")


async def _read_all(files: list[tuple[str, Path, Path]]) -> list[Outcome]:
    sandbox = Sandbox(memory=MEMORY, seconds=SECONDS)
    at_a_time = asyncio.Semaphore(AT_A_TIME)

    async def outcome(project: str, folder: Path, path: Path) -> Outcome:
        async with at_a_time:
            with tempfile.TemporaryDirectory() as members:
                start = time.monotonic()
                code, reason = await _read(sandbox, project, path, Path(members))
                return Outcome(project, str(path.relative_to(folder)), code, reason, time.monotonic() - start)

    try:
        return await asyncio.gather(*(outcome(*file) for file in files))
    finally:
        sandbox.close()


async def _read(sandbox: Sandbox, project: str, path: Path, members: Path) -> tuple[str, str]:
    output = members / "document.json"
    arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100, "output": str(output)}
    arguments["members"] = str(members)
    files = ChildFiles((str(path),), str(members))
    try:
        await sandbox.run("documents.reading.pipeline:read_in_child", arguments, files=files)
    except ChildFailed as error:
        return error.code or "failed", str(error)
    except ChildCrashed as error:
        return "crashed", str(error)
    document = json.loads(output.read_text(encoding="utf-8"))
    if project == CHARDET:
        return _as_in_its_encoding(path)
    text = "\n".join(document["pages"])
    junk = len(_JUNK.findall(text))
    if junk > MAX_JUNK * len(text) and not document["warnings"]:
        return (
            "wrong",
            f"{junk * 100 // len(text)} % of the text are characters that no reader can show, without a warning",
        )
    return "read", ""


def _as_in_its_encoding(path: Path) -> tuple[str, str]:
    from documents.parsers.decoding import decode

    name = _LANGUAGE.sub("", path.parent.name)
    codec = _CODECS.get(name, name)
    data = path.read_bytes()
    text = decode(data) or ""
    if codec and _comparable(text) == _comparable(data.decode(codec, "replace")):
        return "read", ""
    return "wrong", f"is not read as {path.parent.name}"


def _comparable(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").translate(_SAME_SIGNS)


def _report(outcomes: list[Outcome], sample: int) -> str:
    lines = [
        "# Odd files",
        "",
        "These files of other projects' tests were read as a worker does. `bench/odd_files.py` wrote this. Many are",
        "damaged on purpose, or are not documents. For those, a refusal with the right reason is the right answer.",
        *([f"About {sample} files of each project except chardet were read, evenly spread."] if sample else []),
        "",
    ]
    projects = dict.fromkeys(each.project for each in outcomes)
    head = ["project", "files", "read", "wrong", "refused", f"slower than {SLOW_SECONDS} s"]
    lines += table(head, [_counts(project, outcomes) for project in projects])
    lines += _section("Wrong", (each for each in outcomes if each.code == "wrong"))
    lines += _section("Refused", (each for each in outcomes if each.is_refused))
    slow = sorted(filter(_is_slow, outcomes), key=lambda each: -each.seconds)
    rows = [[each.project, f"{each.seconds:.0f}", _cell(each.name), each.code] for each in slow]
    lines += ["## Slow", "", *table(["project", "seconds", "file", "outcome"], rows)]
    return "\n".join(lines)


def _counts(project: str, outcomes: Iterable[Outcome]) -> list[str]:
    own = [each for each in outcomes if each.project == project]
    read, wrong = (sum(each.code == code for each in own) for code in ("read", "wrong"))
    refused, slow = sum(each.is_refused for each in own), sum(map(_is_slow, own))
    return [project, *map(str, (len(own), read, wrong, refused, slow))]


def _is_slow(outcome: Outcome) -> bool:
    return outcome.seconds > SLOW_SECONDS


def _section(title: str, outcomes: Iterable[Outcome]) -> list[str]:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for each in outcomes:
        reason = KNOWN.get(each.name.removeprefix("tests/"), each.reason)
        groups[each.project, each.code, reason].append(each.name)
    rows = []
    for (project, code, reason), names in sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]))):
        shown = ", ".join(Path(name).name for name in names[:MAX_NAMES])
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        rows.append([project, code, _cell(reason), str(len(names)), _cell(shown) + more])
    return [f"## {title}", "", *table(["project", "code", "reason", "files", "names"], rows)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
