"""The documents API. Each view validates with a serializer and calls a function of another package."""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import FileResponse
from django.http.response import HttpResponseBase
from rest_framework.decorators import api_view, parser_classes
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.conditional import conditional
from aiworkstation.web.errors import Conflict
from aiworkstation.web.paging import PageQuery, page
from aiworkstation.web.requests import READING, SiteRequest
from aiworkstation.web.serializers import NoParameters, invalid, read_query
from documents.api.serializers import (
    ChunkSerializer,
    DocumentSerializer,
    DocumentsQuery,
    PreviewQuery,
    SearchQuery,
    UploadSerializer,
)
from documents.errors import DocumentError, TooLarge
from documents.lookup import get_document, list_documents, readable
from documents.models import Document
from documents.reading.chunk_preview import preview
from documents.search import Question, search
from documents.storage import stored_files
from documents.storage.multipart import RefusedFile, UploadParser, answers_allowance, screened
from workflows.errors import ChildCrashed, ChildFailed

Stored = list[Document]
Rejected = list[tuple[str, DocumentError]]


def with_upload_lists(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorates a view: every 400 or 413 to an upload has the two lists, whatever code refused it."""

    @wraps(view)
    def wrapped(request: SiteRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if request.method == "POST":
            request.error_extras = {"documents": [], "rejected": []}
        return view(request, *arguments, **named)

    return wrapped


@screened
@with_upload_lists
@api_view([*READING, "POST"])
@parser_classes([UploadParser])
@answers_allowance
def documents(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _upload_documents(request)
    query = read_query(DocumentsQuery, request)
    rows = list_documents(request.user, query)
    found = page(rows, ("-created_at", "-uid"), limit=query["limit"], cursor=query["cursor"])
    return conditional(request, {"documents": _as_json(request, found.rows), "nextCursor": found.next_cursor})


@api_view([*READING, "DELETE"])
def document(request: Request, id: str) -> HttpResponseBase:
    read_query(NoParameters, request)
    found = get_document(request.user, id)
    if request.method == "DELETE":
        return _delete_document(request, found)
    return conditional(request, _as_json(request, [found])[0])


@api_view(READING)
def chunks(request: Request, id: str) -> HttpResponseBase:
    query = read_query(PageQuery, request)
    rows = get_document(request.user, id).current_chunks()
    found = page(rows, ("index",), limit=query["limit"], cursor=query["cursor"])
    listed = ChunkSerializer(found.rows, many=True).data
    return conditional(request, {"chunks": listed, "nextCursor": found.next_cursor})


@api_view(READING)
def chunk_preview(request: Request, id: str) -> HttpResponseBase:
    """Previews another size and overlap: the number of chunks, their mean size, and the first chunks."""
    found = get_document(request.user, id)
    query = read_query(PreviewQuery, request)
    if not found.generation:
        raise Conflict(
            "The document has not been indexed yet: index it first.",
            code="not_indexed",
        )
    try:
        return conditional(request, asdict(preview(found, **query)))
    except (ChildFailed, ChildCrashed) as error:
        raise Conflict(error.message, code=error.code) from error


@api_view(READING)
def text(request: Request, id: str) -> HttpResponseBase:
    """Returns no pages if the document has not been indexed."""
    read_query(NoParameters, request)
    pages = get_document(request.user, id).current_pages().order_by("number").values_list("number", "text")
    return conditional(request, {"pages": [{"page": number, "text": content} for number, content in pages]})


@api_view(READING)
def file(request: Request, id: str) -> HttpResponseBase:
    """Returns the uploaded bytes. The headers keep a browser from showing them as a page of this site."""
    read_query(NoParameters, request)
    found = get_document(request.user, id)
    try:
        content = found.path.open("rb")
    except FileNotFoundError as error:
        raise NotFound("The file is no longer stored.") from error
    response = FileResponse(
        content, as_attachment=True, filename=found.filename, content_type="application/octet-stream"
    )
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@api_view(READING)
def search_documents(request: Request) -> HttpResponseBase:
    query = read_query(SearchQuery, request)
    question = Question(query.pop("q"), **query)
    return Response(search(_user(request), question).as_json())


def _upload_documents(request: Request) -> Response:
    form = UploadSerializer(data=request.POST, context={"user": request.user})
    form.is_valid(raise_exception=True)
    options = dict(form.validated_data)
    options.pop("csrfmiddlewaretoken", None)
    client_id = options.pop("id", None)
    if "mode" in options:
        options["mode"] = options["mode"].name
    files = _uploaded_files(request, client_id)
    stored, rejected = _store_files(_user(request), files, client_id=client_id, **options)
    refused = [{"filename": name, "code": error.code, "detail": error.message} for name, error in rejected]
    answer = {"documents": _as_json(request, _reload_for_json(stored)), "rejected": refused}
    if stored:
        return Response(answer, status=HTTPStatus.CREATED)
    return _nothing_stored_response(answer, rejected)


def _uploaded_files(request: Request, client_id: str | None) -> list[Any]:
    """Returns UploadedFile and RefusedFile objects. Raises ValidationError."""
    if unknown := request.FILES.keys() - {"file"}:
        wrong = invalid("Unknown key. Send the files in the field file.", "unknown")
        raise ValidationError(dict.fromkeys(unknown, wrong))
    files: list[Any] = request.FILES.getlist("file")
    if not files:
        raise ValidationError({"file": invalid("Send at least one file.", "required")})
    if client_id is not None and len(files) > 1:
        raise ValidationError({"id": invalid("An id goes with a single file.")})
    return files


def _store_files(user: User, files: list[Any], **options: Any) -> tuple[Stored, Rejected]:
    """Stores the files one by one. Raises Conflict if the id is taken."""
    stored: Stored = []
    rejected: Rejected = []
    for file in files:
        try:
            if isinstance(file, RefusedFile):
                raise file.error
            stored.append(stored_files.store(user, file.name, file, **options))
        except stored_files.IdTaken as error:
            raise Conflict(error.message, code=error.code) from error
        except DocumentError as error:
            rejected.append((file.name, error))
    return stored, rejected


def _nothing_stored_response(answer: dict[str, Any], rejected: Rejected) -> Response:
    is_size = all(
        isinstance(error, TooLarge | stored_files.OverQuota | stored_files.TooManyFiles) for _, error in rejected
    )
    kind, status = (
        ("client_error", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if is_size
        else ("validation_error", HTTPStatus.BAD_REQUEST)
    )
    errors = [{"code": error.code, "detail": error.message, "attr": "file"} for _, error in rejected]
    return Response({"type": kind, "errors": errors, **answer}, status=status)


def _delete_document(request: Request, found: Document) -> Response:
    try:
        stored_files.delete(found, _user(request))
    except stored_files.BeingWorkedOn as error:
        raise Conflict(error.message, code=error.code) from error
    return Response(status=HTTPStatus.NO_CONTENT)


def _reload_for_json(rows: Stored) -> Stored:
    """Loads the documents again with everything that the JSON shows, in the same order."""
    found = readable().in_bulk([row.pk for row in rows])
    return [found[row.pk] for row in rows]


def _as_json(request: Request, rows: Stored) -> list[dict[str, Any]]:
    return list(DocumentSerializer(rows, many=True, context={"user": request.user}).data)


def _user(request: Request) -> User:
    return cast(User, request.user)
