"""The JSON of documents and chunks, and what requests may contain."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from aiworkstation.access.lookup import ALL
from aiworkstation.web.paging import MAX_LIMIT, FilterQuery
from aiworkstation.web.serializers import (
    MAX_CHOSEN,
    BoundedList,
    Choice,
    Errors,
    Json,
    NullIfEmpty,
    StrictSerializer,
    Text,
    Time,
    invalid,
)
from documents.labels import FormTagsField, ModeField, ProjectIdField
from documents.lookup import CLIENT_ID
from documents.models import Document, DocumentStatus
from documents.search import MAX_QUESTION
from documents.storage.stored_files import BadId
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP, overlap_error


class ClientId(Text):
    def get_value(self, dictionary: Any) -> Any:
        """An empty id is an error. In other fields of a form, an empty value counts as absent."""
        return dictionary.get(self.field_name, empty)

    def to_internal_value(self, data: Any) -> str:
        if not CLIENT_ID.fullmatch(text := super().to_internal_value(data)):
            raise ValidationError(invalid(BadId().message, BadId.code))
        return text


class UploadSerializer(StrictSerializer):
    """The fields of an upload, besides its files."""

    id = ClientId(required=False)
    projectId = ProjectIdField(default="")
    tags = FormTagsField(default=list)
    mode = ModeField(required=False)
    csrfmiddlewaretoken = Text(required=False)

    def known_keys(self) -> list[str]:
        """Adds the key of the files, and leaves out the key that only a page sends."""
        return ["file", *(key for key in super().known_keys() if key != "csrfmiddlewaretoken")]

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "file" in data:
            errors["file"] = invalid("This is a text. Send the bytes of the file: with curl, -F file=@path.")


class DocumentsQuery(FilterQuery):
    status = BoundedList(child=Choice([*DocumentStatus.values, ALL]), max_length=MAX_CHOSEN, required=False)


class SearchQuery(StrictSerializer):
    q = serializers.CharField(max_length=MAX_QUESTION)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=10)
    projectId = serializers.CharField(required=False, source="project_id")
    tag = serializers.CharField(required=False)
    type = serializers.CharField(required=False, source="file_type")
    documentId = serializers.CharField(required=False, source="document_id")


def check_overlap(value: Mapping[str, Any], size: str, overlap: str, errors: Errors) -> None:
    """Adds an error if chunks cannot overlap so much. `size` and `overlap` are the fields' names."""
    if size in errors or overlap in errors:
        return
    if reason := overlap_error(value["chunk_size"], value["overlap"]):
        errors[overlap] = invalid(f"It {reason}. The default is {OVERLAP}.")


class PreviewQuery(StrictSerializer):
    chunkSize = serializers.IntegerField(min_value=1, max_value=MAX_CHUNK_SIZE, default=CHUNK_SIZE, source="chunk_size")
    overlap = serializers.IntegerField(min_value=0, default=OVERLAP)
    unit = Choice(["tokens", "characters"], default="tokens")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        check_overlap(value, "chunkSize", "overlap", errors)


class DocumentSerializer(serializers.Serializer[Any]):
    """The JSON of a document for `context["user"]`: other documents are named by ids that this user can use."""

    id = serializers.CharField(source="client_id")
    uid = serializers.CharField()
    filename = serializers.CharField()
    fileType = serializers.CharField(source="file_type")
    fileSize = serializers.IntegerField(source="file_size")
    sha256 = serializers.CharField()
    duplicateOf = serializers.SerializerMethodField()
    parentId = serializers.SerializerMethodField()
    status = serializers.ChoiceField(DocumentStatus.values, source="state")
    error = Json()
    warnings = serializers.ListField(child=serializers.CharField())
    pageCount = serializers.IntegerField(source="page_count", allow_null=True)
    wordCount = serializers.IntegerField(source="word_count", allow_null=True)
    chunkCount = serializers.IntegerField(source="chunk_count")
    chunkSize = serializers.IntegerField(source="chunk_size", allow_null=True)
    overlap = serializers.IntegerField(allow_null=True)
    projectId = NullIfEmpty(source="project_id")
    tags = serializers.ListField(child=serializers.CharField())
    mode = serializers.CharField()
    createdAt = Time(source="created_at")
    indexedAt = Time(source="indexed_at", allow_null=True)

    def get_duplicateOf(self, document: Document) -> str | None:
        return document.duplicate_of.id_for(self.context["user"]) if document.duplicate_of else None

    def get_parentId(self, document: Document) -> str | None:
        return document.parent.id_for(self.context["user"]) if document.parent else None


class ChunkSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    index = serializers.IntegerField()
    page = serializers.IntegerField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    tokens = serializers.IntegerField()
    text = serializers.CharField()
