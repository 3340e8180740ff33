"""The stored measurements. A run that measures some figures keeps the records of the others."""

import json
from typing import Any

from bench.run_environment import BASE

RECORDS = BASE / "documents.jsonl"
Record = dict[str, Any]


def load() -> list[Record]:
    if not RECORDS.exists():
        return []
    return [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]


def store(record: Record) -> None:
    """Replaces the record with the same figure, name and repetition."""
    others = [each for each in load() if _key(each) != _key(record)]
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in [*others, record]]
    RECORDS.write_text("".join(lines), encoding="utf-8")


def _key(record: Record) -> tuple[str, str, int]:
    return record["figure"], record["name"], record.get("repeat", 0)
