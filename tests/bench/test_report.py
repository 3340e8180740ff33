"""RESULTS.md when only some figures were measured."""

from typing import Any

from bench import report

SETTINGS = {"settings": {"server_version": "18.4", "fsync": "on"}, "at": "2026-01-01 00:00", "repeat": 0}
COST = {"wall": 1.0, "workers": 0.5, "server": 0.5, "others": 0.0, "wal_bytes": 1000}
RUN = {"per_second": 4000.0, "steps": 2000, "cost": COST}
STEPS = {"figure": "steps", "name": "aiworkstation", "ms": [11.0], "runs": {"200": RUN, "2000": RUN}, **SETTINGS}
PICKUP = {"figure": "pickup", "name": "aiworkstation", "ms": [2.5], **SETTINGS}
STARTING = {"figure": "starting", "name": "", "per_second": 1200.0, "bulk_seconds": 0.5, **SETTINGS}
LIMITS = {"figure": "limits", "name": "", "commit_ms": [0.125], "commits_per_second": {"1": 1, "2": 8000, "8": 9}}


def _lines(*records: dict[str, Any]) -> list[str]:
    return report.results_text(list(records)).splitlines()


def test_figures_are_compared_with_the_limits_of_the_server() -> None:
    lines = _lines(STEPS, PICKUP, STARTING, {**LIMITS, **SETTINGS})
    assert "| aiworkstation | 1.00 (1.00–1.00) | 2.50 (2.50–2.50) | 2.5 | 20.0 | 1 |" in lines
    assert "- What limits it: 15% of the server's 8,000 commits a second by two clients." in lines
    assert any(line.startswith("- What limits it: 50% of the server's 8,000 commits") for line in lines)
    assert any(line.startswith("- A commit of a psycopg client takes 0.125 ms.") for line in lines)


def test_without_limits_the_comparison_is_not_measured() -> None:
    lines = _lines(STEPS, PICKUP, STARTING)
    assert not any("nan" in line for line in lines)
    assert "| aiworkstation | 1.00 (1.00–1.00) | 2.50 (2.50–2.50) | 2.5 | not measured | 1 |" in lines
    assert "- What limits it: the server's commits a second by two clients: not measured." in lines
    assert any(line.startswith("- A commit of a psycopg client was not measured.") for line in lines)


def test_a_failed_figure_is_named_with_its_reason() -> None:
    failed = {"name": "", "failed": "Traceback\nno server", **SETTINGS}
    lines = _lines({"figure": "limits", **failed}, STEPS, {"figure": "starting", **failed})
    assert [line for line in lines if "left out" in line] == [
        "- limits: left out, no server",
        "- starting: left out, no server",
    ]
    assert any("by two clients: not measured, at" in line for line in lines)
