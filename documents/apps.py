from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    name = "documents"

    def ready(self) -> None:
        """Registers the tools."""
        from documents import tools  # noqa: F401
