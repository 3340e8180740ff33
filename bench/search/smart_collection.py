"""Converts a collection in SMART's format, such as CISI or CACM: `python -m bench.search.smart_collection NAME …`.

The arguments are the folder to write, the file of the documents (CISI.ALL), that of the questions (CISI.QRY) and that
of the judgements (CISI.REL). The folder gets what `quality.py` reads. Many public repositories have such collections.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

_FIELD = re.compile(r"\.([A-Z])(?:\s+(\d+))?\s*")


def main() -> None:
    folder, documents, questions, judgements = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    texts = ({"id": row["I"], "title": row.get("T", ""), "text": row.get("W", "")} for row in _records(documents))
    _write(folder / "documents.jsonl", texts)
    _write(folder / "queries.jsonl", ({"id": row["I"], "text": row.get("W", "")} for row in _records(questions)))
    pairs = (line.split()[:2] for line in judgements.read_text(encoding="latin-1").splitlines() if line.strip())
    judged = ({"query": str(int(query)), "doc": str(int(doc)), "relevance": 1} for query, doc in pairs)
    _write(folder / "relevance.jsonl", judged)


def _records(path: Path) -> list[dict[str, str]]:
    """Returns the records. A line such as `.I 1` begins one, and `.T` and `.W` begin its title and its text."""
    found: list[dict[str, str]] = []
    field = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        match = _FIELD.fullmatch(line)
        if match and match[1] == "I":
            found.append({"I": str(int(match[2]))})
            field = ""
        elif match:
            field = match[1]
        elif found and field:
            found[-1][field] = f"{found[-1].get(field, '')} {line.strip()}".strip()
    return found


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
