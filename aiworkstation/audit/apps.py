from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "aiworkstation.audit"

    def ready(self) -> None:
        from aiworkstation.audit import admin_log, login_events, user_changes

        for module in (admin_log, login_events, user_changes):
            module.connect()
