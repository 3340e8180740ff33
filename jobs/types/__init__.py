"""The job types of this application. To add one, add a file here: `load_job_types` finds it.

An app named in EXTRA_APPS has its job types in its `job_types.py`, and imports the names below from here.
"""

from importlib import import_module
from pkgutil import iter_modules

from jobs.job_type import JobType, PayloadSerializer, Plan, register

__all__ = ["JobType", "PayloadSerializer", "Plan", "load_job_types", "register"]


def load_job_types() -> None:
    """Imports every module of this package. Each registers its job type."""
    for module in iter_modules(__path__, f"{__name__}."):
        import_module(module.name)
