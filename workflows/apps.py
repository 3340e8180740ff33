from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class WorkflowsConfig(AppConfig):
    name = "workflows"

    def ready(self) -> None:
        # Tools register themselves: ours, and those in the `tools.py` of every installed app.
        from workflows.tools import external_worker, http_request, hubspot  # noqa: F401

        autodiscover_modules("tools")
