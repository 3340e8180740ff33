from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Notices what goes wrong, and says so once when it begins and once when it is over."""

    name = "alerts"
