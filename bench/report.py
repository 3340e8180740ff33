"""Writes RESULTS.md: each figure with its median and its range over the repetitions, ratios first."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from bench.contenders import CONTENDERS, OURS, PLAIN, STOCK, Contender
from bench.run_environment import SERVER, machine_description
from bench.schedule import FIGURES, Record

NOT_MEASURED = "not measured"
Value = Callable[[Record], float | None]


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolates between the two nearest samples."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def line(record: Record) -> str:
    """Summarizes a record in one line, for the terminal."""
    if problem := record.get("skipped") or record.get("failed"):
        return str(problem).splitlines()[-1]
    words = [f"{name} {value:,.1f}" for name, value in record.items() if isinstance(value, float)]
    if "ms" in record:
        words.append(f"ms p50 {median(record['ms']):.2f} p99 {percentile(record['ms'], 99):.2f}")
    words += [f"{name}: {each['per_second']:,.0f}/s" for name, each in record.get("runs", {}).items()]
    return ", ".join(words) or str(record)[:300]


def results_text(records: list[Record]) -> str:
    sections = {
        "limits": _limits,
        "steps": _steps,
        "pickup": _pickup,
        "plain": _plain,
        "starting": _starting,
        "growth": _growth,
        "memory": _memory,
    }
    parts = [_head(records)]
    for figure in FIGURES:
        own = [record for record in records if record["figure"] == figure]
        if own:
            parts.append(sections[figure](own, records) + _footnotes(own))
    return "\n\n".join(parts) + "\n"


def _head(records: list[Record]) -> str:
    settings = records[-1]["settings"]
    which = "the server of DATABASE_URL" if SERVER else "embedded"
    shown = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "server_version")
    rows = [
        [entry.name, _yes(entry.durable), _yes(entry.isolates), entry.batches, entry.note or "–"]
        for entry in CONTENDERS
    ]
    header = ["who", "durable", "a process for tasks", "batches", "how it runs here"]
    return "\n".join(
        [
            "# The figures",
            "",
            "Written by `make bench`. README.md explains the method. Medians (lowest–highest repetition). Compare the",
            "ratios: absolute figures of this machine say little about another.",
            "",
            f"{machine_description()}. PostgreSQL {settings['server_version']}, {which}, with its settings: {shown}.",
            "",
            *_table(header, rows),
        ]
    )


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _spread(values: Sequence[float], digits: int = 0) -> str:
    if not values:
        return "–"
    middle, low, high = median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def _footnotes(own: list[Record]) -> str:
    problems = {}
    for record in own:
        if problem := record.get("skipped") or record.get("failed"):
            problems[record["name"] or record["figure"]] = str(problem).splitlines()[-1]
    disturbed = max((record.get("cost", {}).get("others", 0.0) for record in own), default=0.0)
    notes = [f"- {name}: left out, {problem}" for name, problem in problems.items()]
    notes.append(
        f"- Measured {own[0]['at']} to {own[-1]['at']}; other processes used at most {disturbed:.0%} of the machine."
    )
    return "\n\n" + "\n".join(notes)


def _by_name(own: list[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in own:
        if "skipped" not in record and "failed" not in record:
            found.setdefault(record["name"], []).append(record)
    return found


def _values(records: list[Record], value: Value) -> list[float]:
    return [found for record in records if (found := value(record)) is not None]


def _ratios(ours: list[Record], theirs: list[Record], value: Value) -> list[float]:
    """Compares values of the same repetition, because the speed of the machine varies over time."""
    own = {record["repeat"]: value(record) for record in ours}
    pairs = [(own.get(record["repeat"]), value(record)) for record in theirs]
    return [mine / other for mine, other in pairs if mine is not None and other]


def _entry(name: str) -> Contender:
    return next(entry for entry in CONTENDERS if entry.name == name)


def _per_second(many: str) -> Value:
    def value(record: Record) -> float | None:
        runs = record["runs"]
        found: float | None = (runs.get(many) or (runs.get("40") if many == "200" else None) or {}).get("per_second")
        return found

    return value


def _p50(record: Record) -> float:
    return float(median(record["ms"]))


def _p95(record: Record) -> float:
    return percentile(record["ms"], 95)


def _measured_limits(records: list[Record]) -> list[Record]:
    return [record for record in records if record["figure"] == "limits" and "failed" not in record]


def _share_of_commits(per_second: float, records: list[Record]) -> str:
    """Compares a rate with what `limits` measured."""
    limits = _measured_limits(records)
    if not limits:
        return f"the server's commits a second by two clients: {NOT_MEASURED}"
    commits = median(record["commits_per_second"]["2"] for record in limits)
    return f"{per_second / commits:.0%} of the server's {commits:,.0f} commits a second by two clients"


def _best_durable(found: dict[str, list[Record]], value: Value, *, lowest: bool = False) -> str:
    peers = {
        name: median(_values(records, value))
        for name, records in found.items()
        if name not in (OURS, PLAIN) and _entry(name).durable and _values(records, value)
    }
    return (min if lowest else max)(peers, key=lambda name: peers[name]) if peers else ""


def _verdict(wanted: str, ratios: Sequence[float], reached: bool, best: str) -> str:
    return (
        f"To reach: {wanted}. Here {_spread(ratios, 2)} against {best}: {'**reached**' if reached else '**missed**'}."
    )


def _limits(own: list[Record], records: list[Record]) -> str:
    good = _measured_limits(own)
    rows = [
        [f"commits/s, {clients} clients (pgbench)", _spread([each["commits_per_second"][clients] for each in good])]
        for clients in ("1", "2", "8")
    ]
    rows.append(["one tiny commit of a psycopg client, ms", _spread([median(each["commit_ms"]) for each in good], 3)])
    return "\n".join(["## The server's own limit", "", *_table(["what", "median (range)"], rows)])


def _steps(own: list[Record], records: list[Record]) -> str:
    found = _by_name(own)
    ours = found.get(OURS, [])
    lines = ["## Durable steps", ""]
    for many in ("200", "2000"):
        value = _per_second(many)
        best = _best_durable(found, value)
        if ours and best:
            ratios = _ratios(ours, found[best], value)
            wanted = f"{int(many):,} executions of ten no-op steps at ≥ 3 × the best durable peer"
            lines.append("- " + _verdict(wanted, ratios, median(ratios) >= 3, best))
    best = _best_durable(found, _p50, lowest=True)
    if ours and best:
        ratios = _ratios(ours, found[best], _p50)
        lines.append("- " + _verdict("one alone in ≤ half of its time", ratios, median(ratios) <= 0.5, best))
    header = ["who", "ours is ×, 200", "ours is ×, 2,000", "steps/s, 200", "steps/s, 2,000", "one alone, ms p50", "p95"]
    header += ["CPU ms a step, workers + server", "WAL bytes a step"]
    rows = []
    for name, them in found.items():
        few, lot = _per_second("200"), _per_second("2000")
        rows.append(
            [
                name,
                _spread(_ratios(ours, them, few), 2),
                _spread(_ratios(ours, them, lot), 2),
                _spread(_values(them, few)),
                _spread(_values(them, lot)),
                _spread(_values(them, _p50), 1),
                _spread(_values(them, _p95), 1),
                *_costs([run for record in them for run in record["runs"].values()]),
            ]
        )
    lines += ["", *_table(header, rows), "", f"- {STOCK} runs 40 executions instead of 200."]
    lines += _limit_of_steps(ours, records)
    return "\n".join(lines)


def _costs(runs: list[Record]) -> list[str]:
    per_step = [(run["cost"], max(run["steps"], 1)) for run in runs]
    workers = median(cost["workers"] * 1000 / steps for cost, steps in per_step)
    server = median(cost["server"] * 1000 / steps for cost, steps in per_step)
    wal = median(cost["wal_bytes"] / steps for cost, steps in per_step)
    return [f"{workers:.2f} + {server:.2f}", f"{wal:,.0f}"]


def _limit_of_steps(ours: list[Record], records: list[Record]) -> list[str]:
    rates = _values(ours, _per_second("2000"))
    if not rates:
        return []
    busy = [
        (run["cost"]["workers"] + run["cost"]["server"]) / run["cost"]["wall"]
        for record in ours
        for run in record["runs"].values()
    ]
    return [
        f"- What limits it: {_share_of_commits(median(rates), records)}, at {median(busy):.2f} cores of workers and"
        " server (the sender's own CPU not counted).",
    ]


def _pickup(own: list[Record], records: list[Record]) -> str:
    found = _by_name(own)
    limits = _measured_limits(records)
    commit = median(median(record["commit_ms"]) for record in limits) if limits else None
    lines = ["## Pick-up by an idle worker", "", "From the commit to the first line, ms.", ""]
    header = ["who", "median ÷ ours", "p50", "p99 (all)", "p50 in commits", "n"]
    ours = found.get(OURS, [])
    rows = []
    for name, them in found.items():
        together = [ms for record in them for ms in record["ms"]]
        ratios = [1 / ratio for ratio in _ratios(ours, them, _p50)]
        p50 = _values(them, _p50)
        rows.append(
            [
                *(name, _spread(ratios, 2), _spread(p50, 2), f"{percentile(together, 99):.1f}"),
                *(f"{median(p50) / commit:.1f}" if commit else NOT_MEASURED, str(len(together))),
            ]
        )
    if ours and "Celery on Redis" in found:
        ratios = _ratios(ours, found["Celery on Redis"], _p50)
        p99 = percentile([ms for record in ours for ms in record["ms"]], 99)
        lines.append("- " + _verdict("a median no worse", ratios, median(ratios) <= 1, "Celery on Redis"))
        lines.append(f"- To reach: p99 ≤ 10 ms. Here {p99:.1f}: {'**reached**' if p99 <= 10 else '**missed**'}.")
    taken = f"takes {commit:.3f} ms" if commit else f"was {NOT_MEASURED}"
    limit = f"- A commit of a psycopg client {taken}. The claim is one commit; the rest is notification, waking up and"
    return "\n".join([*lines, "", *_table(header, rows), "", limit + " one round trip a statement."])


def _plain(own: list[Record], records: list[Record]) -> str:
    found = _by_name(own)
    ours = found.get(PLAIN, [])

    def rate(record: Record) -> float:
        return float(record["per_second"])

    rows = []
    for name, them in sorted(found.items(), key=lambda item: -median(_values(item[1], rate))):
        rows.append(
            [
                *(name, _spread(_ratios(ours, them, rate), 2), _spread(_values(them, rate))),
                *(_spread([each["sent_per_second"] for each in them]), _yes(_entry(name).isolates)),
                *(_yes(_entry(name).durable), *_costs(them)),
            ]
        )
    header = ["who", "ours is ×", "drained/s", "sent/s", "a process for tasks", "durable"]
    header += ["CPU ms a task, workers + server", "WAL bytes a task"]
    lines = ["## Plain tasks", "", "Stored first, then drained by two workers until acknowledged.", ""]
    isolating = [row[0] for row in rows if _entry(row[0]).isolates]
    durable = [name for name in isolating if _entry(name).durable]
    reached = "**reached**" if isolating[:1] == [PLAIN] else "**missed**"
    first = f"{isolating[0]} is, and of the durable ones {durable[0]}" if durable else "nobody ran"
    lines.append(f"- To reach: the first of those with a process for tasks. Here {first}: {reached}.")
    return "\n".join([*lines, "", *_table(header, rows)])


def _starting(own: list[Record], records: list[Record]) -> str:
    good = [record for record in own if "failed" not in record]
    if not good:
        return "## Starting jobs"
    rate = [record["per_second"] for record in good]
    bulk = [record["bulk_seconds"] for record in good]
    rows = [
        ["`engine.start`, ten steps, in one process", _spread(rate) + " /s", "≥ 1,000", _reached(median(rate) >= 1000)],
        ["a job of 10,000 documents", _spread(bulk, 2) + " s", "≤ 1 s", _reached(median(bulk) <= 1)],
    ]
    limit = f"- What limits it: {_share_of_commits(median(rate), records)}."
    return "\n".join(["## Starting jobs", "", *_table(["what", "median (range)", "to reach", ""], rows), "", limit])


def _reached(value: bool) -> str:
    return "reached" if value else "**missed**"


def _growth(own: list[Record], records: list[Record]) -> str:
    if "failed" in own[-1]:
        return "## As it grows"
    record = own[-1]
    few = record["few"]
    states = [("100", few), ("1,000,000", record["many"])]
    states.append((f"beside a transaction open for {record['held_seconds']:.0f} s", record["held"]))
    rows = []
    for what in ("claim", "finish", "poll"):
        for name, measured in states:
            own_cost, least = measured[what], few[what]
            limit = 3.0 if "beside" in name else 1.2
            ratio = own_cost["pages"] / least["pages"], own_cost["ms"] / least["ms"]
            rows.append(
                [
                    *(what, name, f"{ratio[0]:.2f}", f"{ratio[1]:.2f}", f"{own_cost['pages']:.0f}"),
                    *(f"{own_cost['ms']:.2f}", f"{own_cost['execution_ms']:.2f}", _reached(max(ratio) <= limit)),
                    ", ".join(own_cost["indexes"] + [f"whole {table}" for table in own_cost["scans"]]),
                ]
            )
    header = ["what", "finished steps", "pages ×", "time ×", "pages", "ms, with commit", "ms, executing", "", "through"]
    rates = ", ".join(f"{rate:,.0f}" for rate in record["held_rates"])
    return "\n".join(
        [
            "## As it grows",
            "",
            "To reach: pages and time within 20 % of those with 100 finished steps; beside a long transaction, 3 ×.",
            "",
            *_table(header, rows),
            "",
            f"- Steps a second in each tenth of the long transaction's time, starts included: {rates}.",
        ]
    )


def _memory(own: list[Record], records: list[Record]) -> str:
    found = {record["name"]: record for record in own if "failed" not in record}
    rows = []
    if idle := found.get("idle"):
        for what, limit, key in (("before", 250, "before_mb"), ("after", 400, "after_mb")):
            name = f"idle tree of `make run`, {what} the first document, PSS"
            rows.append([name, f"{idle[key]:.0f} MB", f"≤ {limit} MB", _reached(idle[key] <= limit)])
    if streams := found.get("streaming"):
        each = streams["mb_each"]
        gap = streams["longest_gap"]
        rows += [
            [f"each of {streams['streams']} streaming model steps", f"{each:.2f} MB", "≤ 1 MB", _reached(each <= 1)],
            ["CPU of a chunk, all runners", f"{streams['us_a_chunk']:.0f} µs", "", ""],
            ["cores used by 2,000 chunks/s", f"{streams['cpu_share']:.2f}", "", ""],
            ["longest time between two beats", f"{gap:.1f} s", "≤ 10 s, one is due every 5", _reached(gap <= 10)],
            ["leases lost", str(streams["leases_lost"]), "0", _reached(streams["leases_lost"] == 0)],
        ]
    lines = ["## Memory", "", *_table(["what", "", "to reach", ""], rows)]
    if idle:
        lines += ["", "Where it is, MB:", "", *_table(["process", "before", "after"], _processes(idle))]
    return "\n".join(lines)


def _processes(idle: dict[str, Any]) -> list[list[str]]:
    names = list(dict.fromkeys([*idle["before"], *idle["after"]]))
    return [
        [f"`{name.split(' ', 1)[-1]}`", str(idle["before"].get(name, "–")), str(idle["after"].get(name, "–"))]
        for name in names
    ]
