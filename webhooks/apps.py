from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Its tool is in `tools.py`, where `workflows` finds it."""

    name = "webhooks"
