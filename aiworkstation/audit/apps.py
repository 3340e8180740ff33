from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "aiworkstation.audit"
