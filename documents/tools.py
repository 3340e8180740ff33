"""The tools that read, index, embed and search documents."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import User
from pydantic import Field, model_validator

from documents import search
from documents.models import Document, DocumentPage
from documents.reading.ingest import DocumentGone, find_for_step, ingest, record_failure
from documents.storage import shared_uploads
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP, overlap_error
from workflows.errors import NotConfigured, PermanentError, StepError, TryLater
from workflows.tools import Arguments, Slot, StepContext, Tool, register

MAX_CHARS = 100_000


class IngestArguments(Arguments):
    document_id: str = Field(alias="documentId", min_length=1, description="the document's id")
    chunk_size: int = Field(CHUNK_SIZE, alias="chunkSize", ge=1, le=MAX_CHUNK_SIZE, description="tokens")
    overlap: int = Field(OVERLAP, ge=0, description="tokens that a chunk shares with the one before")

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if reason := overlap_error(self.chunk_size, self.overlap):
            raise ValueError(f"overlap {reason}")
        return self


@register
class DocumentIngest(Tool):
    slug = "DOCUMENT_INGEST"
    description = "Reads an uploaded document and indexes it for search."
    slot: ClassVar[Slot] = "process"
    Arguments: ClassVar[type[Arguments]] = IngestArguments
    form_fields: ClassVar[Mapping[str, str]] = {"documentId": "document"}

    def missing_here(self) -> str:
        return shared_uploads.missing_reason()

    async def run(self, context: StepContext, arguments: IngestArguments) -> dict[str, Any]:
        return await ingest(context, arguments.document_id, arguments.chunk_size, arguments.overlap, tool=self.slug)

    def failed(self, context: StepContext, arguments: dict[str, Any], error: StepError) -> None:
        record_failure(context, str(arguments.get("documentId", "")), error)


@register
class DocumentReprocess(DocumentIngest):
    """Does the same as DOCUMENT_INGEST: it reads the file again, not the stored pages.

    So a document benefits from improved parsers, a failed one gets another chance, and pages, offsets and chunks
    always come from the same reading.
    """

    slug = "DOCUMENT_REPROCESS"
    description = "Reads a document again and replaces its index, with another chunk size or overlap."


class ReadArguments(Arguments):
    document_id: str = Field(alias="documentId", min_length=1, description="the document's id")
    page: int | None = Field(None, ge=1, description="one page only; by default all pages")
    max_chars: int = Field(MAX_CHARS, alias="maxChars", ge=1, le=1_000_000)


@register
class DocumentRead(Tool):
    slug = "DOCUMENT_READ"
    description = "Returns the text of an indexed document, or its rows if it is a table."
    slot: ClassVar[Slot] = "thread"
    Arguments: ClassVar[type[Arguments]] = ReadArguments
    form_fields: ClassVar[Mapping[str, str]] = {"documentId": "document"}

    def run(self, context: StepContext, arguments: ReadArguments) -> dict[str, Any]:
        """Returns the text or the rows. `truncated` is there, and true, only if `maxChars` cut something off."""
        document = find_for_step(context, arguments.document_id)
        pages = _indexed_pages(document, arguments.page)
        named = {"documentId": document.id_for(User(pk=context.owner_id)), "filename": document.filename}
        if all(page.rows is not None for page in pages):
            rows = [row for page in pages for row in page.rows or []]
            kept = _rows_within(rows, arguments.max_chars)
            return named | {"rows": kept} | _truncation(len(kept) < len(rows))
        text = "\n\n".join(page.text for page in pages)
        return named | {"text": text[: arguments.max_chars]} | _truncation(len(text) > arguments.max_chars)


class EmbedArguments(Arguments):
    document_ids: list[str] = Field(alias="documentIds", min_length=1, max_length=1000)


@register
class DocumentEmbed(Tool):
    slug = search.TOOL
    description = "Gives the chunks of indexed documents the vectors that search by meaning needs."
    slot: ClassVar[Slot] = "thread"
    Arguments: ClassVar[type[Arguments]] = EmbedArguments

    def check_configured(self) -> None:
        if not settings.CONFIG.embedding_model:
            raise NotConfigured("Set EMBEDDING_MODEL, and OPENAI_BASE_URL or OPENAI_API_KEY.")

    def run(self, context: StepContext, arguments: EmbedArguments) -> dict[str, Any]:
        """Skips deleted documents. Another attempt continues where the one before it stopped."""
        model = search.configured_model()
        if model is None:
            raise NotConfigured("Set EMBEDDING_MODEL, and OPENAI_BASE_URL or OPENAI_API_KEY.")
        chunks = 0
        for place, id in enumerate(arguments.document_ids):
            done, total = place, len(arguments.document_ids)
            context.report(100 * done // total, f"document {done + 1} of {total}")
            try:
                document = find_for_step(context, id)
            except DocumentGone:
                continue
            chunks += search.embed_document(document.pk, model)
        search.activate_if_complete(model)
        return {"documents": len(arguments.document_ids), "passages": chunks}


def _indexed_pages(document: Document, number: int | None) -> list[DocumentPage]:
    if not document.generation and document.is_being_worked_on:
        raise TryLater(f"{document.filename} is being indexed.", code="being_indexed")
    if not document.generation:
        raise PermanentError(f"{document.filename} has not been indexed: ingest it first.", code="not_indexed")
    pages = document.current_pages().order_by("number")
    chosen = list(pages if number is None else pages.filter(number=number))
    if not chosen:
        raise PermanentError(
            f"{document.filename} has no page {number}: its last is page {document.page_count}.", code="no_such_page"
        )
    return chosen


def _rows_within(rows: list[list[str]], limit: int) -> list[list[str]]:
    """Returns the first rows whose cells together have at most `limit` characters."""
    total = 0
    for index, row in enumerate(rows):
        total += sum(map(len, row))
        if total > limit:
            return rows[:index]
    return rows


def _truncation(is_truncated: bool) -> dict[str, Any]:
    return {"truncated": True} if is_truncated else {}


class SearchArguments(Arguments):
    query: str = Field(
        min_length=1, max_length=search.MAX_QUESTION, description="words, or a phrase in quotation marks"
    )
    limit: int = Field(10, ge=1, le=50)
    project_id: str | None = Field(None, alias="projectId")
    tag: str | None = None


@register
class DocumentSearch(Tool):
    slug = "DOCUMENT_SEARCH"
    description = "Finds the chunks of the indexed documents that answer a question best."
    slot: ClassVar[Slot] = "thread"
    Arguments: ClassVar[type[Arguments]] = SearchArguments
    form_fields: ClassVar[Mapping[str, str]] = {"projectId": "line", "tag": "line"}

    def run(self, context: StepContext, arguments: SearchArguments) -> dict[str, Any]:
        owner = User.objects.get(pk=context.owner_id)
        question = search.Question(
            arguments.query, limit=arguments.limit, project_id=arguments.project_id, tag=arguments.tag
        )
        return search.search(owner, question).as_json()
