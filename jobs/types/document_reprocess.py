"""`document-reprocess`: documents are read again, with other chunks."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from rest_framework import serializers

from aiworkstation.web.serializers import Errors, Name, Whole
from documents.api.serializers import check_overlap
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP
from documents.tools import DocumentReprocess
from jobs.payloads.documents import MAX_DOCUMENTS, attach, find, new_steps, numbered
from jobs.types import JobType, PayloadSerializer, Plan, register
from workflows.models import Queue


class ReprocessPayload(PayloadSerializer):
    documentIds = serializers.ListField(child=Name(), min_length=1, max_length=MAX_DOCUMENTS, source="document_ids")
    newChunkSize = Whole(min_value=1, max_value=MAX_CHUNK_SIZE, default=CHUNK_SIZE, source="chunk_size")
    newOverlap = Whole(min_value=0, default=OVERLAP, source="overlap")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        check_overlap(value, "newChunkSize", "newOverlap", errors)
        ids = data.get("documentIds")
        if not isinstance(ids, list) or isinstance(errors.get("documentIds"), list):
            return
        wrong = errors.get("documentIds", {})
        named = {place: id.strip() for place, id in enumerate(ids) if isinstance(id, str) and place not in wrong}
        value["found"], unfit = find(self.context["user"], named)
        if unfit:
            errors["documentIds"] = wrong | unfit


@register
class DocumentReprocessing(JobType):
    name = "document-reprocess"
    description = "Reads documents again and replaces their index, with another chunk size and overlap."
    queue: ClassVar[Queue] = Queue.LOW
    Payload = ReprocessPayload
    lists_files: ClassVar[bool] = True

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        return Plan(
            name=f"Reprocess {numbered(len(payload['found']))}",
            steps=new_steps(DocumentReprocess.slug, payload),
            tolerates_failures=True,
        )

    def stored(self, execution_id: UUID, payload: dict[str, Any]) -> None:
        attach(execution_id, payload)
