from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "aiworkstation.audit"

    def ready(self) -> None:
        from aiworkstation.audit import login_events

        login_events.connect()
