"""Settings of the tests: the product's, without those of this machine's `.env` and environment.

TEST_DATABASE_URL or DATABASE_URL names the PostgreSQL to use. The default is an embedded one in `.test-data`, which
all processes of a run share. Each process has a database and a DATA_DIR of its own.
"""

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

os.environ["ENV_FILE"] = ""

from aiworkstation.ops import config, postgres

SERVER_DIR = Path(__file__).resolve().parent.parent / ".test-data"
DATA_DIR = SERVER_DIR / os.environ.get("PYTEST_XDIST_WORKER", "main")
DATABASE_URL = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL", "")


def give_up_durability(server_dir: Path) -> None:
    """Makes commits cheap: the tests that kill a server have one of their own.

    Without autovacuum, statistics and plans are the same in each run. Nobody can connect as the server's superuser, so
    its file of settings is changed and read again.
    """
    data = postgres.home(server_dir) / "data"
    lines = "".join(f"{name} = off\n" for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"))
    (data / "postgresql.auto.conf").write_text(lines)
    os.kill(int((data / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGHUP)


for name in config.Config.model_fields:
    os.environ.pop(name.upper(), None)

# Type checkers load this module too, and need no server.
if "pytest" in sys.modules and not DATABASE_URL:
    atexit.register(postgres.join(SERVER_DIR).leave)
    give_up_durability(SERVER_DIR)

os.environ.update(
    DATA_DIR=str(DATA_DIR),
    DATABASE_URL=DATABASE_URL or postgres.dsn(SERVER_DIR),
    SECRET_KEY="of-the-tests-alone-" + 40 * "x",
)

from aiworkstation.settings import *  # noqa: E402, F403
from aiworkstation.settings import DATABASES, migrator  # noqa: E402

# Each test of a server starts threads of its own, and a thread that ends keeps its connection until it is collected.
DATABASES["default"]["CONN_MAX_AGE"] = 0


def MIGRATION_DATABASE() -> dict[str, Any]:  # type: ignore[no-redef]
    # The processes of a run inherit the address of the embedded server.
    return migrator(SERVER_DIR) if DATABASE_URL in ("", postgres.dsn(SERVER_DIR)) else {}


PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, where the default takes 0.3 s
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Names without hashes: nothing has collected the files.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
TASKS = {
    "default": {"BACKEND": "workflows.django_tasks.Backend", "QUEUES": []},
    "patient": {"BACKEND": "workflows.django_tasks.Backend", "OPTIONS": {"max_attempts": 3, "owner": "charlie"}},
}
WHITENOISE_AUTOREFRESH = True  # from where they lie
