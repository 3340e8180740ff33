"""The documents API in the OpenAPI document: see `aiworkstation.web.openapi`."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from aiworkstation.web.openapi import Error, Operation, describe, describe_field, example, list_of, reads
from aiworkstation.web.paging import PageQuery
from aiworkstation.web.serializers import NoParameters
from documents.api import views
from documents.api.serializers import (
    ChunkSerializer,
    ClientId,
    DocumentSerializer,
    DocumentsQuery,
    PreviewQuery,
    SearchQuery,
    UploadSerializer,
)
from documents.labels import ModeField

describe_field(ModeField, {"type": "string", "minLength": 1, "maxLength": 60})
describe_field(ClientId, {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"})


class Rejected(serializers.Serializer[Any]):
    filename = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class Uploaded(serializers.Serializer[Any]):
    documents = DocumentSerializer(many=True)
    rejected = Rejected(many=True)


class NothingUploaded(Error):
    documents = DocumentSerializer(many=True)
    rejected = Rejected(many=True)


class Upload(UploadSerializer):
    file = serializers.ListField(child=serializers.FileField(), min_length=1)


class PreviewChunk(ChunkSerializer):
    id = None  # type: ignore[assignment]  # it is not stored


class PreviewAnswer(serializers.Serializer[Any]):
    """The number of chunks, their mean size, and the first of them."""

    count = serializers.IntegerField()
    tokens = serializers.IntegerField()
    chunks = PreviewChunk(many=True)


class TextPage(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    text = serializers.CharField()


class Texts(serializers.Serializer[Any]):
    pages = TextPage(many=True)


class Found(serializers.Serializer[Any]):
    documentId = serializers.CharField()
    filename = serializers.CharField()
    page = serializers.IntegerField(allow_null=True)
    chunkId = serializers.CharField(allow_null=True)
    snippet = serializers.CharField()
    score = serializers.FloatField()


class SearchAnswer(serializers.Serializer[Any]):
    results = Found(many=True)
    relaxed = serializers.BooleanField(
        required=False, help_text="No result matches the whole query. The results match only some of it."
    )


describe(
    views.documents,
    "GET",
    reads("listDocuments", "List documents", list_of("documents", DocumentSerializer(many=True)), query=DocumentsQuery),
)
describe(views.documents, "POST", Operation(
    "uploadDocuments",
    "Upload documents",
    "Uploading stores the files; a job indexes them. 201 if at least one was stored.",
    body=Upload,
    media_type="multipart/form-data",
    answers={201: Uploaded, 400: NothingUploaded, 413: NothingUploaded},
    errors={409: "`id_taken`: you have a document with this id."},
    examples=[example("One file", {"file": ["<its bytes>"], "id": "doc1"}, media_type="multipart/form-data")],
))  # fmt: skip
describe(views.document, "GET", reads("getDocument", "Read a document", DocumentSerializer))
describe(views.document, "DELETE", Operation(
    "deleteDocument", "Delete a document", query=NoParameters, answers={204: None},
    errors={409: "`being_worked_on`: a job works on it."},
))  # fmt: skip
describe(
    views.chunks,
    "GET",
    reads(
        "listChunks", "List the chunks of a document", list_of("chunks", ChunkSerializer(many=True)), query=PageQuery
    ),
)
describe(views.chunk_preview, "GET", reads(
    "previewChunks", "Preview other chunk sizes", PreviewAnswer, query=PreviewQuery,
    errors={409: "`not_indexed`: index the document first. The other codes say why it cannot be cut."},
))  # fmt: skip
describe(views.text, "GET", reads("getText", "Read the text of a document by pages", Texts))
describe(views.file, "GET", Operation(
    "getFile", "Download the uploaded file", query=NoParameters,
    answers={(200, "application/octet-stream"): OpenApiTypes.BINARY},
))  # fmt: skip
describe(views.search_documents, "GET", Operation(
    "search", "Search the documents", query=SearchQuery, answers={200: SearchAnswer},
))  # fmt: skip
