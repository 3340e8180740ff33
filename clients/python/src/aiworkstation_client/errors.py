"""What can go wrong. Every exception of the client is an `AiwError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiworkstation_client.models import Job
    from aiworkstation_client.uploads import FailedUpload

MOST_SHOWN = 500
"""Characters of a server's text in a message."""


class AiwError(Exception):
    """The base of all exceptions of this package."""


class ConfigurationError(AiwError, ValueError):
    """The address or the token cannot be used. Nothing was sent."""


class ConnectionFailed(AiwError):
    """No complete answer arrived.

    If `was_sent` is true, the server may have received the request. If `is_lasting` is true, another try is of no use.
    """

    def __init__(self, message: str, *, was_sent: bool, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        self.is_lasting = is_lasting


class BadAnswer(AiwError):
    """The answer is not one of this API: another kind of page, broken JSON, a redirect, or too large."""


@dataclass(frozen=True)
class ErrorItem:
    """One mistake. `attr` names the field, such as `payload.steps.0.tool`, or is None."""

    code: str
    detail: str
    attr: str | None = None


class ApiError(AiwError):
    """The server refused the request.

    `status` is the HTTP status, `code` the code of the first mistake, such as `not_found`, and `errors` lists all of
    them. `retry_after` is the number of seconds that the server asked to wait, or None. `attempt` counts the times that
    the request was sent.
    """

    def __init__(
        self,
        status: int,
        errors: Sequence[ErrorItem],
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        attempt: int = 1,
    ) -> None:
        self.status = status
        self.errors = list(errors)
        self.retry_after = retry_after
        self.request_id = request_id
        self.attempt = attempt
        super().__init__(f"{status}: " + "; ".join(_describe(item) for item in self.errors))

    @property
    def code(self) -> str:
        return self.errors[0].code

    @property
    def fields(self) -> dict[str, str]:
        """The details of the mistakes that concern a field, by its name."""
        return {item.attr: item.detail for item in self.errors if item.attr is not None}


class BadRequest(ApiError):
    """400: the input is wrong. `fields` says where."""


class NotAuthenticated(ApiError):
    """401: the token is missing, unknown, revoked or expired."""


class Forbidden(ApiError):
    """403: the token lacks a scope."""


class NotFound(ApiError):
    """404: the object does not exist, or it is not yours."""


class Conflict(ApiError):
    """409: the object is in the wrong state, or the id is taken."""


class TooLarge(ApiError):
    """413: the body or the file is too large."""


class Throttled(ApiError):
    """429: too many requests."""


class ServerError(ApiError):
    """5xx: the server failed."""


CLASSES: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: BadRequest,
    HTTPStatus.UNAUTHORIZED: NotAuthenticated,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
    HTTPStatus.TOO_MANY_REQUESTS: Throttled,
}


def class_for(status: int) -> type[ApiError]:
    return ServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else CLASSES.get(status, ApiError)


class JobFailed(AiwError):
    """A job that was waited for ended `failed` or `cancelled`. `job` is the job."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.message}" if job.error else ""
        super().__init__(f"The job {job.name!r} ({job.job_id}) is {job.status}{shorten(reason)}")
        self.job = job


class WaitTimedOut(AiwError, TimeoutError):
    """The job did not finish in time. It continues. `job` is its last known state."""

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__(f"The job {job.job_id} is still {job.status} after {seconds:g} seconds. It continues.")
        self.job = job


class FileChanged(AiwError):
    """The file changed while it was uploaded. The upload is deleted."""


class UploadsFailed(AiwError):
    """Some files were not stored. `failures` lists them."""

    def __init__(self, failures: Sequence[FailedUpload]) -> None:
        first = failures[0]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        super().__init__(f"{first.path}: {first.code}: {shorten(first.detail)}{more}")
        self.failures = list(failures)


def shorten(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _describe(item: ErrorItem) -> str:
    return f"{item.attr}: {shorten(item.detail)}" if item.attr else shorten(item.detail)
