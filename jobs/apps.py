from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from jobs import bulk_tool  # noqa: F401 - registers the tool
        from jobs.types import load_job_types

        load_job_types()
        # Job types of other apps are in their `job_types.py`.
        autodiscover_modules("job_types")
