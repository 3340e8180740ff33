"""The base of job types over documents: one step for each document, in a job that tolerates failures."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User

from aiworkstation.web.serializers import invalid
from documents.lookup import find_documents
from documents.models import Document
from documents.search import write_names
from jobs.job_type import JobType, Plan
from workflows.models import Mode, Queue
from workflows.steps import NewStep

MAX_DOCUMENTS = 10_000
DOCUMENTS_MESSAGES: dict[str, Any] = {
    "min_length": "Name at least one document.",
    "max_length": f"At most {MAX_DOCUMENTS:,} documents are allowed in one job.",
}


class DocumentJobType(JobType):
    """`tool` runs each step, and `verb` begins the job's name. The payload has `found`, `chunk_size` and `overlap`."""

    queue: ClassVar[Queue] = Queue.LOW
    lists_files: ClassVar[bool] = True
    tool: ClassVar[str]
    verb: ClassVar[str]

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        """The steps depend on nothing: the job's `maxParallel` decides how many run at once."""
        documents = payload["found"]
        settings = {"chunkSize": payload["chunk_size"], "overlap": payload["overlap"]}
        return Plan(
            name=f"{self.verb} {len(documents):,} document" + ("" if len(documents) == 1 else "s"),
            steps=[
                NewStep(document.filename, tool=self.tool, arguments={"documentId": str(document.uid), **settings})
                for document in documents
            ],
            tolerates_failures=True,
        )

    def stored(self, execution_id: UUID, payload: dict[str, Any]) -> None:
        """Points the documents to their new steps, and adds the labels of the payload to them."""
        mode = payload.get("mode")
        Document.objects.attach(
            execution_id,
            project_id=payload.get("project_id", ""),
            tags=payload.get("tags", []),
            mode=mode.name if isinstance(mode, Mode) else "",
        )
        if payload.get("tags"):
            # Search finds documents by the new tags at once, and also if they cannot be read again.
            write_names(Document.objects.filter(step__execution=execution_id))


def find_named_documents(user: User, ids: Mapping[int, str]) -> tuple[list[Document], dict[int, list[Any]]]:
    """Returns the documents, and the errors by position in the payload. It costs one query or two."""
    found = find_documents(user, set(ids.values()))
    documents: dict[UUID, Document] = {}
    errors: dict[int, list[Any]] = {}
    for position, id in ids.items():
        document = found.get(id)
        if document is None:
            errors[position] = invalid(f"There is no document {id}.", "unknown")
        elif document.uid in documents:
            errors[position] = invalid(f"The document {id} is named twice.", "unique")
        else:
            documents[document.uid] = document
    return list(documents.values()), errors
