"""Request bodies without a Content-Length."""

import sys
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings

from aiworkstation.web.chunked_requests import ChunkedRequests

JSON = "application/json"


class Slow(BytesIO):
    """Returns less than was asked for, like a socket."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 7))


def passed_on(body: bytes, **changes: Any) -> tuple[str | None, bytes]:
    """Returns the length and the body that the application gets."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": JSON,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": Slow(body),
        "wsgi.input_terminated": True,
        **changes,
    }

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return [environ["wsgi.input"].read(len(body) + 1)]

    (read,) = ChunkedRequests(application)(environ, None)
    return environ.get("CONTENT_LENGTH"), read


def test_it_works() -> None:
    assert passed_on(b'{"jobType": "workflow"}') == ("23", b'{"jobType": "workflow"}')


def test_too_much_is_left_to_the_limit() -> None:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length, _ = passed_on(b"x" * (limit + 100), **{"wsgi.input": BytesIO(b"x" * (limit + 100))})
    assert length == str(limit + 1)


def test_a_form_is_not_read_ahead() -> None:
    assert passed_on(b"--x--", CONTENT_TYPE="multipart/form-data; boundary=x") == (str(sys.maxsize), b"--x--")


@pytest.mark.parametrize(
    "changes",
    [{"CONTENT_LENGTH": "3"}, {"REQUEST_METHOD": "GET"}, {"wsgi.input_terminated": False}],
)
def test_what_has_a_length_or_no_end_stays_as_it_is(changes: dict[str, Any]) -> None:
    assert passed_on(b"abc", **changes) == (changes.get("CONTENT_LENGTH"), b"abc")
