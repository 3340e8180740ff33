"""`manage.py reembed`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents.search import catch_up, configured_model, documents_without_vectors, forget_model


class Command(BaseCommand):
    help = (
        "Starts the jobs that give EMBEDDING_MODEL's vectors to the documents that lack them, as happens by itself"
        " within a minute. Search goes on meanwhile with what it has."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--afresh",
            action="store_true",
            help="all documents: the provider has another model under the same name; until the end, full text alone",
        )

    def handle(self, *args: Any, afresh: bool, **options: Any) -> None:
        model = configured_model()
        if model is None:
            raise CommandError("EMBEDDING_MODEL and OPENAI_BASE_URL or OPENAI_API_KEY: set them.")
        if afresh:
            forget_model(model)
            model = configured_model()
            assert model is not None
        count = documents_without_vectors(model).count()
        jobs = catch_up()
        self.stdout.write(f"{count:,} documents lack vectors of {model.name}; {jobs} jobs were started.")
