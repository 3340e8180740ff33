from django.apps import AppConfig
from django.core.checks import register


class DocumentsConfig(AppConfig):
    name = "documents"

    def ready(self) -> None:
        """Registers the tools, the rules of `check_engine`, and the check of extensions' parsers."""
        from documents import consistency, tools  # noqa: F401
        from documents.checks import check_parsers

        register(check_parsers)
