"""Measures the limits of the server: commits a second by pgbench, and the time of one commit of a psycopg client."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.adapter import fresh_database
from bench.run_environment import BASE, POSTGRES_PROGRAMS, SOCKETS, database_url

DATABASE = "bench_limits"
SCRIPT = "INSERT INTO tiny (text) VALUES ('0123456789012345678901234567890123456789');\n"
CLIENTS = (1, 2, 8)
SECONDS = 3


def main() -> dict[str, Any]:
    fresh_database(DATABASE)
    with psycopg.connect(database_url(DATABASE), autocommit=True) as connection:
        connection.execute("CREATE TABLE tiny (id bigserial PRIMARY KEY, text text)")
        commit = [_one_commit_ms(connection) for _ in range(300)]
    rates = {str(clients): _pgbench_commits_per_second(clients) for clients in CLIENTS}
    return {"commit_ms": commit, "commits_per_second": rates}


def _one_commit_ms(connection: psycopg.Connection[tuple[Any, ...]]) -> float:
    began = time.perf_counter()
    connection.execute("INSERT INTO tiny (text) VALUES ('0123456789')", prepare=True)
    return (time.perf_counter() - began) * 1000


def _pgbench_commits_per_second(clients: int) -> float:
    program = Path(sysconfig.get_path("purelib")) / POSTGRES_PROGRAMS / "pgbench"
    path = BASE / "pgbench.sql"
    path.write_text(SCRIPT)
    command = [program, "-h", SOCKETS, "-p", "5432", "-U", "aiworkstation", "-n", "-M", "prepared"]
    command += ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(SECONDS), "-f", path, DATABASE]
    environment = os.environ | {"PGPASSWORD": str(conninfo_to_dict(database_url(DATABASE)).get("password", ""))}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        sys.exit(f"pgbench: {done.stderr}")
    return float(found.group(1))


if __name__ == "__main__":
    print(json.dumps(main()), flush=True)
