"""`manage.py reembed`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents.search import catch_up, configured_model, documents_without_vectors, forget_model


class Command(BaseCommand):
    help = (
        "Starts jobs that give vectors of EMBEDDING_MODEL to the documents that lack them. A schedule does the same"
        " every minute. Search keeps working meanwhile with the vectors that it has."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--afresh",
            action="store_true",
            help="embed all documents again, as the provider changed the model; meanwhile search uses full text only",
        )

    def handle(self, *args: Any, afresh: bool, **options: Any) -> None:
        model = configured_model()
        if model is None:
            raise CommandError("No embedding model: set EMBEDDING_MODEL, and OPENAI_BASE_URL or OPENAI_API_KEY.")
        if afresh:
            forget_model(model)
            model = configured_model()
            assert model is not None
        count = documents_without_vectors(model).count()
        jobs = catch_up()
        self.stdout.write(f"{count:,} documents lack vectors of {model.name}. {jobs} jobs were started.")
