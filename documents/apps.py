from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    name = "documents"

    def ready(self) -> None:
        """Registers the tools, and the rules of `check_engine`."""
        from documents import consistency, tools  # noqa: F401
