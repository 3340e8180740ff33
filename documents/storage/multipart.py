"""Parses multipart uploads: checks each file's name and size as it arrives, and stores no byte of a refused file.

Django's own parser silently turns `../../etc/passwd` into `passwd`. This one refuses such a file with an error.
"""

from collections.abc import Callable
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from rest_framework.parsers import BaseParser, DataAndFiles

from aiworkstation.gate.front_gate import ALLOWANCE_HEADER, ASKS_ALLOWANCE
from documents.errors import DocumentError
from documents.storage import stored_files


class RefusedFile:
    """Takes the place of a refused file in `request.FILES`."""

    def __init__(self, name: str, error: DocumentError) -> None:
        self.name = name
        self.error = error

    def close(self) -> None:
        """Django closes every file of a request."""


class ScreeningHandler(FileUploadHandler):
    """Runs before the handlers that store files. They never see what it refuses."""

    refused: RefusedFile | None = None
    number = 0

    def new_file(self, field_name: str, file_name: str, *arguments: Any, **named: Any) -> None:
        super().new_file(field_name, file_name, *arguments, **named)
        self.refused = None
        self.number += 1
        self._check(partial(stored_files.check_number, self.number))
        if self.refused is None:
            self._check(partial(stored_files.check_name, file_name))
        if self.refused:
            raise StopFutureHandlers()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        if self.refused is None:
            self._check(partial(stored_files.check_size, start + len(raw_data)))
        return None if self.refused else raw_data

    def file_complete(self, file_size: int) -> Any:
        return self.refused

    def _check(self, check: Callable[[], None]) -> None:
        try:
            check()
        except DocumentError as error:
            self.refused = RefusedFile(self.file_name or "", error)


class _UnchangedNamesParser(MultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str:
        return file_name


class UploadParser(BaseParser):
    """For `screened` views. The form may be parsed already, because the CSRF check of a session reads it."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]._request
        return DataAndFiles(request.POST, request.FILES)


def screened(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorates a view: its `request.FILES` has UploadedFile and RefusedFile objects, whatever reads the form first."""

    @wraps(view)
    def wrapped(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        request.parse_file_upload = partial(_parse, request)  # type: ignore[method-assign]
        return view(request, *arguments, **named)

    return wrapped


def answers_allowance(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorates a view of a signed-in user: answers the front gate's question how much this user may upload."""

    @wraps(view)
    def wrapped(request: Any, *arguments: Any, **named: Any) -> HttpResponseBase:
        if ASKS_ALLOWANCE in request.META:
            allowance = str(stored_files.upload_allowance(request.user))
            return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={ALLOWANCE_HEADER.decode(): allowance})
        return view(request, *arguments, **named)

    return wrapped


def _parse(
    request: HttpRequest, META: dict[str, Any], post_data: Any
) -> "tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]]":
    # First: a handler only sees the data that the handlers before it pass on.
    handlers = [ScreeningHandler(request), *request.upload_handlers]
    try:
        return _UnchangedNamesParser(META, post_data, handlers, request.encoding or "utf-8").parse()
    except MultiPartParserError as error:
        raise SuspiciousOperation(f"The form cannot be read: {error}") from error
