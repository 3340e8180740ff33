"""The targets of search, and whether they are reached."""

from collections.abc import Iterable, Mapping, Sequence

from bench.documents.records import Record

AT, MOST_MS = 100_000, 50.0
VECTORS_GAIN = 1.05
HEAD = ["figure", "to reach", "here", ""]


def rows(records: Sequence[Record]) -> list[list[str]]:
    """Returns a row for each size that was measured. Only the size `AT` has a limit."""
    speed = sorted((each for each in records if each["figure"] == "search" and "p95" in each), key=_chunks)
    quality = [each for each in records if each["figure"] == "quality" and "both" in each]
    return [row for record in speed for row in _speed(record)] + [row for record in quality for row in _quality(record)]


def _chunks(record: Record) -> int:
    return int(record["chunks"])


def _speed(record: Record) -> Iterable[list[str]]:
    kinds = record["p95"]
    text = {kind: p95 for kind, p95 in kinds.items() if not kind.startswith("with vectors")}
    for name, found in (("full text", text), ("with vectors", {kind: kinds[kind] for kind in kinds.keys() - text})):
        for when, label in (("idle", ""), ("replacing", ", documents being replaced")):
            figure = f"search p95, {_chunks(record):,} chunks, {name}{label}"
            yield _limited(figure, {kind: p95[when] for kind, p95 in found.items()}, _chunks(record) == AT)


def _limited(figure: str, p95: Mapping[str, float], has_limit: bool) -> list[str]:
    """Shows the slowest kind of question, or all kinds that miss the limit."""
    slowest = sorted(p95, key=lambda kind: -p95[kind])
    missed = [kind for kind in slowest if p95[kind] > MOST_MS]
    shown = missed if has_limit and missed else slowest[:1]
    here = "; ".join(f"{p95[kind]:.0f} ms ({kind.removeprefix('with vectors: ')})" for kind in shown)
    if not has_limit:
        return [figure, "to be measured", f"at most {here}", "measured"]
    return [figure, "≤ 50 ms for each kind of question", here, "**missed**" if missed else "reached"]


def _quality(record: Record) -> Iterable[list[str]]:
    bm25s = record["bm25s"]
    for name, key, gain, wanted in (
        ("full text", "text", 1.0, "≥ bm25s"),
        ("full text and vectors", "both", VECTORS_GAIN, "≥ bm25s + 5 %"),
    ):
        here = f"{record[key]:.3f}, bm25s {bm25s:.3f} ({record[key] / bm25s - 1:+.1%})"
        verdict = "reached" if record[key] >= bm25s * gain else "**missed**"
        yield [f"nDCG@10 on {record['collection']}, {name}", wanted, here, verdict]
