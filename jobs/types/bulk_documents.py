"""`bulk-documents`: uploaded documents are read and indexed, five at a time unless told."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from rest_framework import serializers

from aiworkstation.web.serializers import Errors, Name, StrictSerializer, Text, Whole
from documents.api.serializers import check_overlap
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP
from documents.tools import DocumentIngest
from jobs.payloads.documents import MAX_DOCUMENTS, attach, find, new_steps, numbered
from jobs.types import JobType, PayloadSerializer, Plan, register
from workflows.models import Queue


class NamedDocument(StrictSerializer):
    """All but the id are hints, which nothing relies on."""

    id = Name()
    filename = Text(required=False, allow_blank=True)
    fileType = Text(required=False, allow_blank=True)
    fileSize = Whole(required=False, min_value=0)


class BulkDocumentsPayload(PayloadSerializer):
    documents = serializers.ListField(child=NamedDocument(), min_length=1, max_length=MAX_DOCUMENTS)
    chunkSize = Whole(min_value=1, max_value=MAX_CHUNK_SIZE, default=CHUNK_SIZE, source="chunk_size")
    overlap = Whole(min_value=0, default=OVERLAP)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        check_overlap(value, "chunkSize", "overlap", errors)
        documents = data.get("documents")
        if not isinstance(documents, list) or isinstance(errors.get("documents"), list):
            return
        wrong = errors.get("documents", {})
        ids = {
            place: document["id"].strip()
            for place, document in enumerate(documents)
            if isinstance(document, Mapping) and isinstance(document.get("id"), str) and place not in wrong
        }
        value["found"], unfit = find(self.context["user"], ids)
        if unfit:
            errors["documents"] = wrong | {place: {"id": detail} for place, detail in unfit.items()}


@register
class BulkDocuments(JobType):
    name = "bulk-documents"
    description = "Reads uploaded documents and indexes them for search."
    queue: ClassVar[Queue] = Queue.LOW
    Payload = BulkDocumentsPayload
    lists_files: ClassVar[bool] = True

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        return Plan(
            name=f"Ingest {numbered(len(payload['found']))}",
            steps=new_steps(DocumentIngest.slug, payload),
            tolerates_failures=True,
        )

    def stored(self, execution_id: UUID, payload: dict[str, Any]) -> None:
        attach(execution_id, payload)
