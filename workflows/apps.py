from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules


class WorkflowsConfig(AppConfig):
    name = "workflows"

    def ready(self) -> None:
        # Tools register themselves when their module is imported: ours, and the `tools.py` of every installed app.
        from workflows import django_tasks  # noqa: F401 - registers its tools
        from workflows.django_q import schedules
        from workflows.tools import import_builtin_tools

        if settings.CONFIG.sentry_dsn:
            sentry = import_module("workflows.monitoring.sentry")  # half a second, which only those pay who have it
            sentry.start()
        schedules.guard()
        import_builtin_tools()
        autodiscover_modules("tools")
