from django.apps import AppConfig


class MailConfig(AppConfig):
    """Mails to people: notices, and questions with links that answer them."""

    name = "mail"
