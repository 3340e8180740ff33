"""Writes the sections of DOCUMENTS.md about reading files: the figures with their targets, then the tables."""

import os
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.documents import search_targets
from bench.documents.peers import NAMES, SECONDS
from bench.documents.records import Record
from bench.documents.sections import table, write
from bench.run_environment import machine_description

GIB = 1024


def line(record: Record) -> str:
    """Summarizes a record in one line, for the terminal."""
    if problem := record.get("skipped") or record.get("failed"):
        return str(problem).splitlines()[-1]
    names = ("files", "indexed", "right", "pages", "seconds", "files_a_minute", "pages_a_second", "peak_mb", "found")
    return ", ".join(f"{name} {record[name]:,.0f}" for name in names if name in record)


def write_report(records: Sequence[Record]) -> None:
    """Replaces each section. Figures that were not measured are left out."""
    rows = [row for part in (_good, _bad, _pages, _mixed, _peers) for row in part(records)]
    settings = records[-1]["settings"]
    lines = [
        "Written by `make bench-documents`. README.md explains the method. Compare the ratios: absolute figures of",
        "this machine say little about another.",
        "",
        _machine_and_server(settings),
        "",
        *table(["figure", "to reach", "here", ""], rows),
    ]
    if wanted := search_targets.rows(records):
        write(
            "search-figures",
            "Search: the figures",
            [_machine_and_server(settings), "", *table(search_targets.HEAD, wanted)],
        )
    if rows:
        write("figures", "Reading files: the figures", lines)
        write("reading", "Reading files: the tables", [*_pages_table(records), *_bulk_table(records), *_notes(records)])
        write("peers", "The same files, read by others", _peers_table(records))


def _machine_and_server(settings: Mapping[str, str]) -> str:
    server = f"PostgreSQL {settings['server_version']}, embedded, shared_buffers {settings['shared_buffers']}"
    return f"{machine_description()}. {server}."


def _by_name(records: Iterable[Record], figure: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["figure"] == figure and not record.keys() & {"skipped", "failed"}:
            found.setdefault(record["name"], []).append(record)
    return found


def _row(figure: str, wanted: str, here: str, reached: bool) -> list[str]:
    return [figure, wanted, here, "reached" if reached else "**missed**"]


def _good(records: Sequence[Record]) -> Iterable[list[str]]:
    for name, (record, *_) in _by_name(records, "good").items():
        files, indexed = record["files"], record["indexed"]
        yield _row(f"good files indexed, {name}", "all", f"{indexed} of {files}", indexed == files)
        for what, found, of in (("found", "found", "phrases"), ("on their page", "on_page", "with_page")):
            share = record[found] / record[of]
            here = f"{record[found]} of {record[of]}, {share:.1%}"
            yield _row(f"phrases {what}, {name}", "≥ 99 %", here, share >= 0.99)


def _bad(records: Sequence[Record]) -> Iterable[list[str]]:
    for record, *_ in _by_name(records, "bad").values():
        files, right = record["files"], record["right"]
        yield _row("bad files that end as they should", "all", f"{right} of {files}", right == files)
        yield _row("peak memory meanwhile", "< 1 GiB", f"{record['peak_mb']:,.0f} MiB", record["peak_mb"] < GIB)


def _pages(records: Sequence[Record]) -> Iterable[list[str]]:
    found = _by_name(records, "pages")
    for kind in ("all", "without the made-up one"):
        for processes in ("1", "2"):
            ours, bare = found.get(f"ours, {processes}, {kind}"), found.get(f"bare, {processes}, {kind}")
            if ours and bare:
                own = _median(ours, "pages_a_second")
                yield _share(own, bare, f"a worker with {processes} reading, {_PDFS[kind]}, of {processes} bare")
        both, single = found.get(f"ours, 2, {kind}"), found.get(f"bare, 1, {kind}")
        if both and single:
            yield _share(_median(both, "pages_a_second"), single, f"a worker with 2 reading, {_PDFS[kind]}, of 1 bare")


def _share(own: float, bare: Sequence[Record], name: str) -> list[str]:
    share = own / _median(bare, "pages_a_second")
    return _row(f"pages a second, {name}", "≥ 70 % of the bare extractor's", f"{share:.0%}", share >= 0.7)


_PDFS = {"all": "all PDFs", "without the made-up one": "the real PDFs"}


def _mixed(records: Sequence[Record]) -> Iterable[list[str]]:
    found = _by_name(records, "mixed")
    if "children 1" in found and "children 2" in found:
        one, two = found["children 1"][0], found["children 2"][0]
        ratio = one["seconds"] / two["seconds"]
        name = f"{two['files']} mixed files, two parsing children against one"
        yield _row(name, "≥ 1.5 ×", f"{ratio:.2f} ×", ratio >= 1.5)
    if "window" in found:
        window = found["window"][0]
        most, share = window["most_at_once"], window["share_at_most"]
        here = f"at most {most}, and so many for {share:.0%} of the time"
        yield _row("five at a time as a sliding window", "5, never more", here, most == 5)


def _peers(records: Sequence[Record]) -> Iterable[list[str]]:
    ours = _by_name(records, "mixed").get("children 2")
    for name, (peer, *_) in _by_name(records, "peers").items():
        if ours:
            own = ours[0]
            speed = own["files_a_minute"] / peer["files_a_minute"]
            mine, theirs = own["found"] / own["phrases"], peer["found"] / peer["phrases"]
            here = (
                f"files a minute {speed:.1f} ×, phrases {mine:.1%} against {theirs:.1%},"
                f" peak {own['peak_mb']:,.0f} against {peer['peak_mb']:,.0f} MiB"
            )
            reached = speed > 1 and mine > theirs and own["peak_mb"] < peer["peak_mb"]
            yield _row(f"the same files, {name}", "ahead in each", here, reached)


def _median(records: Sequence[Record], key: str) -> float:
    return float(median(record[key] for record in records))


def _pages_table(records: Sequence[Record]) -> list[str]:
    rows = []
    for name, own in sorted(_by_name(records, "pages").items(), key=lambda item: item[0].split(", ", 1)[1]):
        who, processes, kind = name.split(", ")
        label = "PDFium, text alone" if who == "bare" else "ours, to committed and searchable chunks"
        first, cost = own[0], own[0].get("cost")
        spent = [f"{1000 * cost[who] / first['pages']:.1f}" for who in ("workers", "server")] if cost else ["–"]
        rate = f"{_median(own, 'pages_a_second'):,.0f}"
        rows.append([label, processes, _PDFS[kind], f"{first['pages']:,}", rate, " + ".join(spent)])
    head = ["who", "reading at once", "files", "pages", "pages a second", "CPU ms a page, worker + server"]
    return [*table(head, rows), *_limit_of_pages(records)] if rows else []


def _limit_of_pages(records: Sequence[Record]) -> list[str]:
    found = _by_name(records, "pages")
    lines = []
    for kind, files in _PDFS.items():
        for record in found.get(f"ours, 2, {kind}", [])[:1]:
            cost, cores = record["cost"], os.cpu_count() or 1
            spent = cost["workers"] + cost["server"]
            lines.append(
                f"- What limits it, {files}: a page costs {1000 * spent / record['pages']:.1f} ms of processor,"
                f" {cost['server'] / spent:.0%} of it PostgreSQL's, and {1000 * spent / record['files']:.0f} ms a file:"
                f" {record['pages'] / spent * cores:,.0f} pages a second on {cores} cores that never wait. They were"
                f" busy for {spent / cost['wall'] / cores:.0%} of the time."
            )
    return [*lines, ""]


def _bulk_table(records: Sequence[Record]) -> list[str]:
    named = [("good", "good files, {}"), ("bad", "bad files"), ("mixed", "mixed files, {}")]
    rows = []
    for figure, label in named:
        for name, (record, *_) in _by_name(records, figure).items():
            cost = record["cost"]
            busy = (cost["workers"] + cost["server"]) / cost["wall"]
            rows.append(
                [
                    *(label.format(name), str(record["files"]), f"{record['seconds']:.1f}"),
                    *(f"{record['files_a_minute']:,.0f}", f"{record['chunks'] / record['seconds']:,.0f}"),
                    *(f"{record['peak_mb']:,.0f}", f"{busy:.2f}", f"{cost['others']:.0%}", record["at"]),
                ]
            )
    head = ["a job of", "files", "seconds", "files a minute", "chunks a second", "peak MiB", "cores busy"]
    return table([*head, "used by others", "measured"], rows) if rows else []


def _notes(records: Sequence[Record]) -> list[str]:
    lines = []
    for figure in ("good", "bad"):
        for name, (record, *_) in _by_name(records, figure).items():
            for key, what in (("wrong", "did not end as it should"), ("missing", "not found")):
                lines += [f"- {figure} files {name}: {what}: {each}".replace("  ", " ") for each in record.get(key, [])]
    for record, *_ in _by_name(records, "bad").values():
        seconds = f"{record['longest_seconds']:.1f} s"
        lines.append(f"- The bad file that took longest is {record['longest']}: {seconds}.")
    for record in records:
        if problem := record.get("skipped") or record.get("failed"):
            lines.append(f"- {record['figure']} {record['name']}: left out, {str(problem).splitlines()[-1]}")
    return lines


def _peers_table(records: Sequence[Record]) -> list[str]:
    rows, notes = [], []
    own = _by_name(records, "mixed").get("children 2", [])
    for record in own:
        rows.append(["aiworkstation", *_reader(record, record["files"] - record["indexed"]), "indexed in PostgreSQL"])
    found = _by_name(records, "peers")
    for name in NAMES:
        for record in found.get(name, []):
            versions = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
            rows.append([name, *_reader(record, record["failed_files"]), f"chunks in memory; {versions}"])
            notes += [f"- {name}, {file}: {error}" for file, error in sorted(record["errors"].items())]
    head = ["who", "files", "failed", "files a minute", "phrases found", "on their page", "peak MiB", "ends with"]
    return [
        f"In their order, as many of the files as each reads within {SECONDS:.0f} s; two processes each. Phrases are",
        "those of the files that it tried; in Markdown they count without its marks too. What a peer cannot read:",
        "",
        *table(head, rows),
        *_shortened(notes),
        f"- {os.cpu_count()} cores for readers and, with ours, the database. Peers' imports are not counted.",
    ]


def _reader(record: dict[str, Any], failed: int) -> list[str]:
    paged = f"{record['on_page'] / record['with_page']:.1%}" if record["with_page"] else "knows no pages"
    return [
        *(str(record["files"]), str(failed), f"{record['files_a_minute']:,.0f}"),
        *(f"{record['found'] / record['phrases']:.1%}", paged, f"{record['peak_mb']:,.0f}"),
    ]


def _shortened(notes: Sequence[str]) -> list[str]:
    lines = [" ".join(note.split()) for note in notes]
    return [line if len(line) < 120 else line[:120] + "…" for line in lines]
