"""Addresses that no browser sends."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.users import client_of

PATHS = [
    "/api/jobs/a%00b",
    "/api/jobs/%00/steps",
    "/api/jobs/x/steps/%00",
    "/api/documents/a%00b",
    "/api/documents/a%00b/text",
    "/api/%00",
    "/documents/a%00b",
    "/documents/a%00b/file",
    "/jobs/%00",
    "/%00",
    "/admin/workflows/mode/%00/change/",
    "/admin/auth/user/1%00/change/",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["nobody", "page", "token"])
def test_nul_in_a_path_is_not_found(client: Client, charlie: User, path: str, role: str) -> None:
    User.objects.filter(pk=charlie.pk).update(is_superuser=True)
    client.raise_request_exception = False
    if role == "page":
        client.force_login(charlie)
    caller = client_of(charlie) if role == "token" else client
    caller.raise_request_exception = False
    for method in (caller.get, caller.post, caller.delete):
        assert method(path).status_code in (301, 302, 401, 404, 405)


@pytest.mark.parametrize(
    "query", ["q=%00", "tag=%00", "cursor=%00", "owner=%00", "projectId=%00", "jobId=%00", "type=%00"]
)
@pytest.mark.parametrize("path", ["/api/jobs", "/api/documents", "/api/search", "/jobs/", "/documents/", "/search"])
def test_nul_in_a_query_is_no_error(at_alice: Client, path: str, query: str) -> None:
    at_alice.raise_request_exception = False
    assert at_alice.get(f"{path}?{query}").status_code in (200, 302, 400, 404)
