"""`document-reprocess`: reads documents again and indexes them with another chunk size and overlap."""

from collections.abc import Mapping
from typing import Any

from aiworkstation.web.serializers import BoundedList, Errors, Integer, Name
from documents.api.serializers import check_overlap
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP
from documents.tools import DocumentReprocess
from jobs.job_type import PayloadSerializer, register
from jobs.payloads.document_jobs import DOCUMENTS_MESSAGES, MAX_DOCUMENTS, DocumentJobType, find_named_documents


class ReprocessPayload(PayloadSerializer):
    documentIds = BoundedList(
        child=Name(), min_length=1, max_length=MAX_DOCUMENTS, error_messages=DOCUMENTS_MESSAGES, source="document_ids"
    )
    newChunkSize = Integer(min_value=1, max_value=MAX_CHUNK_SIZE, default=CHUNK_SIZE, source="chunk_size")
    newOverlap = Integer(min_value=0, default=OVERLAP, source="overlap")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        check_overlap(value, "newChunkSize", "newOverlap", errors)
        ids = data.get("documentIds")
        if not isinstance(ids, list) or isinstance(errors.get("documentIds"), list):
            return
        wrong = errors.get("documentIds", {})
        named = {place: id.strip() for place, id in enumerate(ids) if isinstance(id, str) and place not in wrong}
        value["found"], unknown = find_named_documents(self.context["user"], named)
        if unknown:
            errors["documentIds"] = wrong | unknown


@register
class DocumentReprocessing(DocumentJobType):
    name = "document-reprocess"
    description = "Reads documents again and indexes them with another chunk size and overlap."
    Payload = ReprocessPayload
    tool = DocumentReprocess.slug
    verb = "Reprocess"
