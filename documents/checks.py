"""Checks that Django runs at the start of every command: whether the parsers of extensions can be imported.

They are imported in a separate process, as the worker does later, because they and their libraries take memory. Without
this check, one broken module would make every document fail, and nothing would show why.
"""

import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from aiworkstation import BASE_DIR

SECONDS = 60

_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from documents.parsers import load_all
load_all()
"""


def check_parsers(**options: Any) -> list[CheckMessage]:
    """Returns an error for each module of parsers that cannot be imported, with its reason."""
    return [error for module in settings.CHILD_MODULES for error in _check(module)]


def _check(module: str) -> list[CheckMessage]:
    try:
        run = subprocess.run(
            [sys.executable, "-c", _IMPORT, module],
            cwd=BASE_DIR,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [_error(module, f"it takes longer than {SECONDS} s")]
    if run.returncode == 0:
        return []
    lines = run.stderr.strip().splitlines() or [f"its process ended with {run.returncode}"]
    return [_error(module, lines[-1])]


def _error(module: str, reason: str) -> CheckMessage:
    return Error(
        f"The module {module} of an app in EXTRA_APPS cannot be imported: {reason}",
        hint=f"Fix it, or remove the app from EXTRA_APPS. To see more: python -c 'import {module}'",
        id="documents.E001",
    )
