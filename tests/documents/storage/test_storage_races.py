"""Races between two connections: the result must be right, whichever is first."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from documents.errors import DocumentError
from documents.models import Document
from documents.storage import stored_files
from tests.support.documents import upload

pytestmark = pytest.mark.django_db(transaction=True)


def together(*functions: Callable[[], object]) -> list[object]:
    """Returns the results of both, or the DocumentErrors that they raised."""
    barrier = Barrier(len(functions))

    def call(function: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            barrier.wait()
            return function()
        except DocumentError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def test_one_of_two_uploads_gets_the_id(alice: User) -> None:
    results = together(*[lambda: upload(alice, client_id="doc1")] * 4)
    assert sorted(type(result).__name__ for result in results) == ["Document", "IdTaken", "IdTaken", "IdTaken"]


def test_uploads_at_once_do_not_pass_the_quota(alice: User) -> None:
    with patch.object(settings.CONFIG, "user_quota_mb", 1):
        together(*[lambda: upload(alice, b"x" * 400_000)] * 4)
    assert Document.objects.count() == 2


def test_one_of_equal_uploads_is_the_original(alice: User) -> None:
    together(*[lambda: upload(alice)] * 4)
    assert Document.objects.filter(duplicate_of=None).count() == 1


def test_an_upload_keeps_the_bytes_that_a_deletion_would_take(alice: User, bob: User) -> None:
    for _ in range(10):
        hers = upload(alice)
        together(lambda hers=hers: stored_files.delete(hers, alice), lambda: upload(bob))  # type: ignore[misc]
        his = Document.objects.get(owner=bob)
        assert his.path.read_text() == "Hello world."
        stored_files.delete(his, bob)
        assert not his.path.exists()
