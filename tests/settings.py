"""Settings of the tests: the product's, without what this machine's `.env` and environment say.

TEST_DATABASE_URL or DATABASE_URL names the PostgreSQL to use; else an embedded one runs in `.test-data`.
"""

import atexit
import os
import sys
from pathlib import Path

os.environ["ENV_FILE"] = ""

from aiworkstation.ops import config, postgres

DATA_DIR = Path(__file__).resolve().parent.parent / ".test-data"
DATABASE_URL = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL", "")

for name in config.Config.model_fields:
    os.environ.pop(name.upper(), None)
os.environ.update(DATA_DIR=str(DATA_DIR), DATABASE_URL=DATABASE_URL, SECRET_KEY="of-the-tests-alone-" + 40 * "x")

# Type checkers load this module too, and need no server.
if "pytest" in sys.modules and not DATABASE_URL:
    atexit.register(postgres.join(DATA_DIR).leave)

from aiworkstation.settings import *  # noqa: E402, F403

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Names without hashes: nothing has collected the files.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True  # from where they lie
