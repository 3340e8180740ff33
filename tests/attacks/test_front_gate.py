"""Slow, large and unwanted requests: what reaches Django behind the front gate, and what a client sees."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.access.models import ApiToken
from aiworkstation.asgi import ROUTES, THREADS
from aiworkstation.gate import routes
from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.wsgi import application
from documents.models import Document
from tests.support.web_server import serving

pytestmark = pytest.mark.django_db(transaction=True)
GIGABYTE = 10**9


@pytest.fixture
def site(settings: Any) -> Iterator[httpx2.Client]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with (
        serving(FrontGate(application, ROUTES, THREADS)) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


def token(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {ApiToken.issue(user)[1]}"}


def session(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    client.get("/login")
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())}


def csrf(site: httpx2.Client, headers: dict[str, str]) -> tuple[dict[str, str], str]:
    """Returns the headers with a CSRF cookie, and its token."""
    page = site.get("/jobs/new", headers=headers)
    secret = page.cookies["csrftoken"]
    site.cookies.clear()
    return {"Cookie": f"{headers['Cookie']}; csrftoken={secret}"}, secret


def codes(answer: httpx2.Response) -> list[str]:
    return [error["code"] for error in answer.json()["errors"]]


def test_it_works(site: httpx2.Client, alice: User) -> None:
    files = {"file": ("a.txt", b"The pelican sleeps.")}
    answer = site.post("/api/documents", headers=token(alice), files=files)
    assert answer.status_code == 201
    assert Document.objects.get().filename == "a.txt"


def test_a_page_takes_files_with_the_csrf_token_of_its_form(site: httpx2.Client, alice: User) -> None:
    headers, secret = csrf(site, session(alice))
    form = {"csrfmiddlewaretoken": secret}
    answer = site.post("/documents/upload", headers=headers, data=form, files={"file": ("a.txt", b"words")})
    assert (answer.status_code, answer.headers["location"]) == (302, "/documents/")
    assert Document.objects.count() == 1


def test_an_ended_session_leads_to_the_sign_in_page(site: httpx2.Client) -> None:
    headers = {"Cookie": "sessionid=ended"}
    answer = site.post("/documents/upload", headers=headers, files={"file": ("a.txt", b"words")})
    assert (answer.status_code, answer.headers["location"]) == (302, "/login?next=/documents/upload")


@pytest.mark.parametrize(
    ("path", "status"), [("/api/documents", 401), ("/documents/upload", 302), ("/jobs/new/upload", 302)]
)
def test_nobody_uploads_before_signing_in(site: httpx2.Client, path: str, status: int) -> None:
    assert head_of_gigabyte(site, path) == status


@pytest.mark.parametrize("path", ["/login", "/nowhere", "/api/workflow/update-step", "/api/jobs", "/admin/login/"])
def test_only_uploads_take_files(site: httpx2.Client, path: str) -> None:
    assert head_of_gigabyte(site, path) == 415


def head_of_gigabyte(site: httpx2.Client, path: str) -> int:
    """Says that a form with a gigabyte of files follows, sends its beginning, and returns the status."""
    with socket.create_connection((site.base_url.host, site.base_url.port or 80), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {GIGABYTE}\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        return int(connection.recv(1000).split(b" ")[1])


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/login", 65 * 1024, 413),
        ("/logout", 65 * 1024, 413),
        ("/settings/password", 65 * 1024, 413),
        ("/settings/tokens", 65 * 1024, 413),
        ("/jobs/", 1 << 21, 413),
        ("/api/jobs", 11 << 20, 413),
        ("/api/workflow/update-step", 11 << 20, 413),
        ("/api/jobs", 1 << 21, 401),
    ],
)
def test_each_address_has_its_size(site: httpx2.Client, path: str, size: int, status: int) -> None:
    answer = site.post(path, content=b" " * size, headers={"Content-Type": "application/json"})
    assert answer.status_code == status


def test_an_upload_ends_at_the_quota(site: httpx2.Client, alice: User, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"user_quota_mb": 1, "max_upload_mb": 1})
    files = [("file", (f"{number}.txt", b"x" * 1_000_000)) for number in range(4)]
    answer = site.post("/api/documents", headers=token(alice), files=files)
    assert (answer.status_code, codes(answer)) == (413, ["payload_too_large"])
    assert answer.json()["rejected"] == []
    assert Document.objects.count() == 0


def test_an_upload_has_a_total(site: httpx2.Client, alice: User, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"max_upload_total_mb": 1})
    answer = site.post("/api/documents", headers=token(alice), files={"file": ("a.txt", b"x" * 3_000_000)})
    assert (answer.status_code, codes(answer)) == (413, ["payload_too_large"])


@pytest.mark.parametrize("path", ["/api/documents/x/preview", "/documents/x/preview", "/api/search", "/search"])
def test_costly_reads_never_have_all_threads(path: str) -> None:
    assert routes.find(ROUTES, path).is_expensive
