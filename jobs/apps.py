from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        # Job types register themselves: ours, and those in the `job_types.py` of every installed app.
        autodiscover_modules("job_types")
