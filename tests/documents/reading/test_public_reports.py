"""Files made after public bug reports on other readers. Each is read in a process with limits, as a worker does.

Slow because of dozens of documents.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPORTS
from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles

pytestmark = pytest.mark.slow

TIME_LIMIT_SECONDS = 60
MEMORY_BYTES = 1_500_000_000

Case = dict[str, Any]
Reading = dict[str, Any]

NOT_YET: set[str] = set()
"""The ids of cases that are still wrong. Delete an id together with the change that fixes it."""


def _cases() -> list[Any]:
    if not (REPORTS / "cases.jsonl").exists():
        absent = pytest.mark.skip(reason="the files made after public bug reports are not on this machine")
        return [pytest.param({}, id="absent", marks=absent)]
    cases = [json.loads(line) for line in (REPORTS / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    not_yet = pytest.mark.xfail(strict=True, reason="is read wrongly so far")
    return [pytest.param(case, id=case["id"], marks=[not_yet] if case["id"] in NOT_YET else []) for case in cases]


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    """All cases by their ids, read in one pass."""
    cases = [json.loads(line) for line in (REPORTS / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    folders = [tmp_path_factory.mktemp("reading") for _ in cases]
    return dict(zip([case["id"] for case in cases], asyncio.run(_read_all(cases, folders)), strict=True))


async def _read_all(cases: list[Case], folders: list[Path]) -> list[Reading]:
    sandbox = Sandbox(memory=MEMORY_BYTES, seconds=TIME_LIMIT_SECONDS)
    at_a_time = asyncio.Semaphore(2)

    async def with_children(case: Case, folder: Path) -> Reading:
        async with at_a_time:
            reading = await _read(sandbox, REPORTS / case["file"], case["name"], folder)
            reading["children"] = [
                await _read(sandbox, folder / member["file"], member["name"], folder / f"in {member['file']}")
                for member in reading.get("members", [])
            ]
        return reading

    try:
        return await asyncio.gather(*map(with_children, cases, folders))
    finally:
        sandbox.close()


async def _read(sandbox: Sandbox, path: Path, filename: str, folder: Path) -> Reading:
    folder.mkdir(exist_ok=True)
    output = folder / "document.json"
    arguments = {
        "path": str(path),
        "filename": filename,
        "chunkSize": 500,
        "overlap": 100,
        "output": str(output),
        "members": str(folder),
    }
    try:
        await sandbox.run(
            "documents.reading.pipeline:read_in_child", arguments, files=ChildFiles((str(path),), str(folder))
        )
    except ChildFailed as error:
        return {"name": filename, "code": error.code, "message": str(error)}
    except ChildCrashed as error:
        return {"name": filename, "code": "crashed", "message": str(error)}
    return {"name": filename, "code": "indexed", **json.loads(output.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("case", _cases())
def test_report(case: Case, readings: dict[str, Reading]) -> None:
    assert _wrong(case, readings[case["id"]]) == []


def _wrong(case: Case, reading: Reading) -> list[str]:
    """Returns what is wrong with the reading. An empty list means that the case holds."""
    unknown = case.keys() - _KNOWN_KEYS
    assert not unknown, f"the case has keys that this test does not check: {unknown}"
    text, names = _text(reading), [child["name"] for child in reading["children"]]
    inside = "\n".join(map(_text, reading["children"]))
    checks: dict[str, Callable[[Any], bool]] = {
        "status": lambda status: reading["code"] == status,
        "not_code": lambda code: reading["code"] != code,
        "contains": lambda phrases: all(phrase in text for phrase in phrases),
        "contains_any": lambda phrases: any(phrase in text for phrase in phrases),
        "absent": lambda phrases: not any(phrase in text for phrase in phrases),
        "pages": lambda pages: len(reading.get("pages", [])) == pages,
        "children": lambda wanted: sorted(names) == sorted(wanted),
        "no_children": lambda wanted: (names == []) is wanted,
        "contains_children": lambda phrases: all(phrase in inside for phrase in phrases),
    }
    return [
        f"{key} {case[key]}: {reading['code']} {reading.get('message', '')} {names} {text[:500]!r} {inside[:500]!r}"
        for key, holds in checks.items()
        if key in case and not holds(case[key])
    ]


_KNOWN_KEYS = {
    *("id", "file", "name", "report", "status", "not_code", "contains", "contains_any", "absent", "pages"),
    *("children", "no_children", "contains_children"),
}


def _text(reading: Reading) -> str:
    """The text of all pages, in which line breaks and other blanks count as one."""
    return " ".join(" ".join(reading.get("pages", [])).split())
