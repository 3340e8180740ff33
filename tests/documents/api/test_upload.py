"""POST /api/documents"""

from io import BytesIO
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from documents.models import Document

URL = "/api/documents"
BOUNDARY = "boundary"


def post(client: Client, *files: tuple[str, bytes], **fields: Any) -> Any:
    """Sends unchanged names. Django's own test client would clean them."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, values in fields.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    for name, content in files:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return client.post(URL, body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def codes(response: Any) -> list[tuple[str, str | None]]:
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


def test_it_works(as_alice: Client) -> None:
    response = post(
        as_alice, ("report.PDF", b"%PDF-"), id="doc1", projectId="p", tags=["a,b", "b", " c "], mode="Sales"
    )
    assert response.status_code == 201
    body = response.json()
    (document,) = body["documents"]
    row = Document.objects.get()
    assert body["rejected"] == []
    assert document == {
        "id": "doc1",
        "uid": str(row.uid),
        "filename": "report.PDF",
        "fileType": "pdf",
        "fileSize": 5,
        "sha256": row.sha256,
        "duplicateOf": None,
        "parentId": None,
        "status": "uploaded",
        "error": None,
        "warnings": [],
        "pageCount": None,
        "wordCount": None,
        "chunkCount": 0,
        "chunkSize": None,
        "overlap": None,
        "projectId": "p",
        "tags": ["a", "b", "c"],
        "mode": "Sales",
        "createdAt": document["createdAt"],
        "indexedAt": None,
    }
    assert document["createdAt"].endswith("Z")


def test_several_files(as_alice: Client) -> None:
    response = post(as_alice, ("a.txt", b"same"), ("b.txt", b"same"), ("c.txt", b"other"))
    first, second, third = response.json()["documents"]
    assert [first["filename"], second["filename"], third["filename"]] == ["a.txt", "b.txt", "c.txt"]
    assert [first["duplicateOf"], second["duplicateOf"], third["duplicateOf"]] == [None, first["id"], None]


def test_refused_files_stop_no_others(as_alice: Client) -> None:
    with patch.object(settings.CONFIG, "max_upload_mb", 1):
        response = post(
            as_alice,
            ("before.txt", b"before"),
            ("../../etc/passwd", b"root"),
            ("empty.txt", b""),
            ("large.txt", b"x" * 1_500_000),
            ("..", b"dots"),
            ("after.txt", b"after"),
        )
    assert response.status_code == 201
    body = response.json()
    assert [document["filename"] for document in body["documents"]] == ["before.txt", "after.txt"]
    assert [(refused["filename"], refused["code"]) for refused in body["rejected"]] == [
        ("../../etc/passwd", "unsafe_name"),
        ("empty.txt", "empty"),
        ("large.txt", "too_large"),
        ("..", "unsafe_name"),
    ]
    assert all(refused["detail"] for refused in body["rejected"])
    assert [row.path.read_bytes() for row in Document.objects.order_by("created_at")] == [b"before", b"after"]


def test_large_requests_go_through_the_disk(as_alice: Client) -> None:
    """Above 2.5 MB, Django writes each file to a temporary one."""
    response = post(as_alice, ("a.txt", b"a" * 2_000_000), ("../b.txt", b"b"), ("c.txt", b"c" * 2_000_000))
    assert [document["fileSize"] for document in response.json()["documents"]] == [2_000_000, 2_000_000]


def test_nothing_stored_is_a_400(as_alice: Client) -> None:
    response = post(as_alice, ("a/b.txt", b"x"), ("empty.txt", b""))
    body = response.json()
    assert response.status_code == 400
    assert (body["type"], body["documents"]) == ("validation_error", [])
    assert codes(response) == [("unsafe_name", "file"), ("empty", "file")]
    assert [refused["code"] for refused in body["rejected"]] == ["unsafe_name", "empty"]


def test_too_large_is_a_413(as_alice: Client) -> None:
    with patch.object(settings.CONFIG, "max_upload_mb", 1):
        response = post(as_alice, ("large.txt", b"x" * 1_500_000))
    assert response.status_code == 413
    assert response.json()["type"] == "client_error"
    assert codes(response) == [("too_large", "file")]
    assert response.json()["rejected"][0]["code"] == "too_large"


def test_over_quota_is_a_413(as_alice: Client) -> None:
    with patch.object(settings.CONFIG, "user_quota_mb", 1):
        response = post(as_alice, ("large.txt", b"x" * 1_500_000))
    assert response.status_code == 413
    assert codes(response) == [("over_quota", "file")]


def test_files_beyond_the_limit_are_refused(as_alice: Client) -> None:
    with patch.object(settings.CONFIG, "max_upload_files", 2):
        response = post(as_alice, *((f"{number}.txt", b"x") for number in range(4)))
    assert response.status_code == 201
    assert [document["filename"] for document in response.json()["documents"]] == ["0.txt", "1.txt"]
    refused = response.json()["rejected"]
    assert [(each["filename"], each["code"]) for each in refused] == [
        ("2.txt", "too_many_files"),
        ("3.txt", "too_many_files"),
    ]
    assert "More than 2 files" in refused[0]["detail"]
    assert Document.objects.count() == 2


def test_more_files_than_django_takes(as_alice: Client) -> None:
    response = post(as_alice, *((f"{number}.txt", b"x") for number in range(150)))
    assert (response.status_code, len(response.json()["documents"])) == (201, 150)


def test_an_id_in_use_is_a_409(as_alice: Client, as_bob: Client) -> None:
    assert post(as_alice, ("a.txt", b"a"), id="doc1").status_code == 201
    response = post(as_alice, ("b.txt", b"b"), id="doc1")
    assert response.status_code == 409
    assert codes(response) == [("id_taken", None)]
    assert post(as_bob, ("a.txt", b"a"), id="doc1").status_code == 201


def test_bad_fields(as_alice: Client) -> None:
    response = post(as_alice, ("a.txt", b"a"), id="a b", mode="Nothing", tags=["x" * 101], colour="red")
    assert response.status_code == 400
    assert set(codes(response)) == {
        ("invalid", "id"),
        ("unknown", "mode"),
        ("max_length", "tags.0"),
        ("unknown", "colour"),
    }
    assert "General" in response.content.decode()
    assert not Document.objects.exists()


def test_an_unknown_field_lists_the_known_ones(as_alice: Client) -> None:
    (error,) = post(as_alice, ("a.txt", b"a"), colour="red").json()["errors"]
    assert error["detail"] == "Unknown key. Known keys: file, id, projectId, tags, mode."
    (error,) = as_alice.post(URL, {"other": SimpleUploadedFile("a.txt", b"a")}).json()["errors"]
    assert error["detail"] == "Unknown key. Send the files in the field file."


def test_a_path_instead_of_a_file(as_alice: Client) -> None:
    (error,) = as_alice.post(URL, {"file": "report.pdf"}).json()["errors"]
    assert (error["attr"], "-F file=@path" in error["detail"]) == ("file", True)


def test_an_id_goes_with_one_file(as_alice: Client) -> None:
    assert codes(post(as_alice, ("a.txt", b"a"), ("b.txt", b"b"), id="doc1")) == [("invalid", "id")]


def test_an_empty_id_is_none(as_alice: Client) -> None:
    assert codes(post(as_alice, ("a.txt", b"a"), id="")) == [("blank", "id")]


def test_every_refusal_has_the_two_lists(as_alice: Client) -> None:
    answers = [
        post(as_alice, ("a.txt", b"a"), colour="red"),
        post(as_alice, mode="Sales"),
        post(as_alice, ("a.txt", b"a"), ("b.txt", b"b"), id="doc1"),
        as_alice.post(URL, b"junk", content_type="multipart/form-data; boundary=x"),
    ]
    for response in answers:
        assert response.status_code == 400
        assert response.json().keys() == {"type", "errors", "documents", "rejected"}
    assert as_alice.get(f"{URL}?limit=0").json().keys() == {"type", "errors"}


def test_no_file(as_alice: Client) -> None:
    response = post(as_alice, mode="Sales")
    assert response.status_code == 400
    assert codes(response) == [("required", "file")]
    assert codes(as_alice.post(URL, {"other": SimpleUploadedFile("a.txt", b"a")})) == [("unknown", "other")]


def test_json_is_a_415(as_alice: Client) -> None:
    assert as_alice.post(URL, {"id": "doc1"}, content_type="application/json").status_code == 415


def test_a_broken_form_is_a_400(as_alice: Client) -> None:
    assert as_alice.post(URL, b"junk", content_type="multipart/form-data").status_code == 400
    assert as_alice.post(URL, b"junk", content_type="multipart/form-data; boundary=x").status_code == 400


def test_a_session_needs_its_token_and_keeps_names_too(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert post(client, ("a.txt", b"a")).status_code == 403
    token = "a" * 32
    client.cookies["csrftoken"] = token
    response = post(client, ("../a.txt", b"a"), ("b.txt", b"b"), csrfmiddlewaretoken=token)
    assert response.status_code == 201
    assert [refused["code"] for refused in response.json()["rejected"]] == ["unsafe_name"]


def test_strangers_are_refused(db: None) -> None:
    assert post(Client(), ("a.txt", b"a")).status_code == 401


def test_a_name_in_any_script(as_alice: Client) -> None:
    file = BytesIO(b"a")
    file.name = "Résumé d’été – 报告.txt"
    (document,) = as_alice.post(URL, {"file": file}).json()["documents"]
    assert document["filename"] == "Résumé d’été – 报告.txt"
