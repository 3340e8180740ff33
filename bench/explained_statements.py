"""Explains a statement of the engine before it runs, with the generic plan that a worker's connection uses."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection

from workflows.engine.query import Row

Parameters = Mapping[str, Any]
_NAME = re.compile(r"%\((\w+)\)s")


@dataclass(slots=True)
class StatementCost:
    """The cost of statements: pages touched (hit or read), milliseconds, used indexes, and tables scanned entirely."""

    pages: int = 0
    ms: float = 0.0
    indexes: set[str] = field(default_factory=set)
    scans: set[str] = field(default_factory=set)

    def add(self, explained: dict[str, Any]) -> None:
        plan = explained["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.ms += explained["Execution Time"]
        self._add_scans(plan)

    def add_function_scans(self, before: dict[str, int], after: dict[str, int]) -> None:
        """Adds the scans inside functions, whose plans EXPLAIN does not show."""
        used = {name for name, scans in after.items() if scans > before.get(name, 0)}
        self.scans |= {name.removeprefix("table ") for name in used if name.startswith("table ")}
        self.indexes |= {name for name in used if not name.startswith("table ")}

    def _add_scans(self, plan: dict[str, Any]) -> None:
        if "Index Name" in plan:
            self.indexes.add(plan["Index Name"])
        if plan["Node Type"] == "Seq Scan":
            self.scans.add(plan["Relation Name"])
        for below in plan.get("Plans", []):
            self._add_scans(below)


_SCANS = """
SELECT CASE relkind WHEN 'i' THEN relname ELSE 'table ' || relname END, pg_stat_get_xact_numscans(oid)::int
FROM pg_class WHERE relkind IN ('i', 'r') AND relnamespace = 'public'::regnamespace
"""


def _scanned(connection: Connection[Row]) -> dict[str, int]:
    """Returns how often this transaction has scanned each index, and each table from end to end."""
    return dict(connection.execute(_SCANS).fetchall())


def explained(connection: Connection[Row], statement: str, parameters: Parameters) -> tuple[Row, StatementCost]:
    """Returns the single row of the statement, and its cost."""
    cost = StatementCost()
    with connection.transaction():
        with connection.transaction(force_rollback=True):
            before = _scanned(connection)
            cost.add(_explain(connection, statement, parameters))
            cost.add_function_scans(before, _scanned(connection))
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row, cost


def timed(connection: Connection[Row], statement: str, parameters: Parameters) -> tuple[Row, float]:
    """Returns the single row of the statement, and its milliseconds with the commit."""
    began = time.perf_counter()
    with connection.transaction():
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row, (time.perf_counter() - began) * 1000


def _explain(connection: Connection[Row], statement: str, parameters: Parameters) -> dict[str, Any]:
    """Explains with the generic plan, which PostgreSQL uses for a prepared statement after some executions."""
    names = list(dict.fromkeys(_NAME.findall(statement)))
    numbered = _NAME.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    psycopg.ClientCursor(connection).execute(f"PREPARE explained AS {numbered}")
    places = ", ".join(["%s"] * len(names))
    execute = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained{f'({places})' if names else ''}"
    row = psycopg.ClientCursor(connection).execute(execute, [parameters[name] for name in names]).fetchone()
    connection.execute("DEALLOCATE explained")
    assert row is not None
    result: dict[str, Any] = row[0][0]
    return result
