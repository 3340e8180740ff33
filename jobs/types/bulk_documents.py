"""`bulk-documents`: reads uploaded documents and indexes them."""

from collections.abc import Mapping
from typing import Any

from aiworkstation.web.serializers import BoundedList, Errors, Integer, Name, StrictSerializer, Text
from documents.api.serializers import check_overlap
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP
from documents.tools import DocumentIngest
from jobs.job_type import PayloadSerializer, register
from jobs.payloads.document_jobs import DOCUMENTS_MESSAGES, MAX_DOCUMENTS, DocumentJobType, find_named_documents


class NamedDocument(StrictSerializer):
    """Everything except the id is a hint: it is neither compared nor stored."""

    id = Name()
    filename = Text(required=False, allow_blank=True)
    fileType = Text(required=False, allow_blank=True)
    fileSize = Integer(required=False, min_value=0)


class BulkDocumentsPayload(PayloadSerializer):
    documents = BoundedList(
        child=NamedDocument(), min_length=1, max_length=MAX_DOCUMENTS, error_messages=DOCUMENTS_MESSAGES
    )
    chunkSize = Integer(min_value=1, max_value=MAX_CHUNK_SIZE, default=CHUNK_SIZE, source="chunk_size")
    overlap = Integer(min_value=0, default=OVERLAP)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        check_overlap(value, "chunkSize", "overlap", errors)
        documents = data.get("documents")
        if not isinstance(documents, list) or isinstance(errors.get("documents"), list):
            return
        wrong = errors.get("documents", {})
        ids = {
            position: document["id"].strip()
            for position, document in enumerate(documents)
            if isinstance(document, Mapping) and isinstance(document.get("id"), str) and position not in wrong
        }
        value["found"], unknown = find_named_documents(self.context["user"], ids)
        if unknown:
            errors["documents"] = wrong | {position: {"id": detail} for position, detail in unknown.items()}


@register
class BulkDocuments(DocumentJobType):
    name = "bulk-documents"
    description = "Reads uploaded documents and indexes them for search."
    Payload = BulkDocumentsPayload
    tool = DocumentIngest.slug
    verb = "Ingest"
