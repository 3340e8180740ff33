"""What the job types over documents share: a step for each, in one job that tolerates failures."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from aiworkstation.web.serializers import invalid
from documents.lookup import find_documents
from documents.models import Document
from workflows.models import Mode
from workflows.steps import NewStep

MAX_DOCUMENTS = 10_000


def find(user: User, ids: Mapping[int, str]) -> tuple[list[Document], dict[int, list[Any]]]:
    """The documents of these ids, and what is wrong, by place in the payload. One query or two."""
    found = find_documents(user, set(ids.values()))
    documents: dict[UUID, Document] = {}
    errors: dict[int, list[Any]] = {}
    for place, id in ids.items():
        document = found.get(id)
        if document is None:
            errors[place] = invalid(f"There is no document {id}.", "unknown")
        elif document.uid in documents:
            errors[place] = invalid(f"The document {id} is named twice.", "unique")
        else:
            documents[document.uid] = document
    return list(documents.values()), errors


def new_steps(tool: str, payload: Mapping[str, Any]) -> list[NewStep]:
    """They wait for nothing: as many run at once as the job's `maxParallel` says."""
    settings = {"chunkSize": payload["chunk_size"], "overlap": payload["overlap"]}
    return [
        NewStep(document.filename, tool=tool, arguments={"documentId": str(document.uid), **settings})
        for document in payload["found"]
    ]


def attach(execution_id: UUID, payload: Mapping[str, Any]) -> None:
    """The documents follow their new steps, and take over what the payload says of them."""
    mode = payload.get("mode")
    Document.objects.attach(
        execution_id,
        project_id=payload.get("project_id", ""),
        tags=payload.get("tags", []),
        mode=mode.name if isinstance(mode, Mode) else "",
    )


def numbered(count: int) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} document" + ("" if count == 1 else "s")
