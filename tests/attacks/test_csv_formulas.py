"""Formulas in failures.csv, which a spreadsheet would run."""

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.start import start
from tests.support.jobs import claim, fail

FORMULAS = [
    "=1+1",
    "+1",
    "-1+cmd",
    "@SUM(A1)",
    " =1+1",
    "\t=1+1",
    "\xa0=1+1",
    "\u200b=1+1",
    "＝1+1",
    "x;=1+1",
    "x; =1+1",
    "x|@SUM(A1)",
    "line\n=1+1",
    "line\r\n\t+1",
    '"\n=1+1',
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_or_part_of_one_is_a_formula(alice: User, as_alice: Client, text: str) -> None:
    body: dict[str, Any] = {
        "jobType": "workflow",
        "payload": {"workflowName": "x", "steps": [{"name": "one" + text.replace("\0", "")}]},
    }
    job = start(alice, body)[0]
    fail(claim(job.pk)[0], text)
    content = b"".join(as_alice.get(f"/api/jobs/{job.pk}/failures.csv").streaming_content).decode()  # type: ignore[attr-defined]
    row = next(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))
    assert row["message"][0] not in "=+-@＝\t\r\n \xa0\u200b"
    message = row["message"]
    begin = "'" + message[1:].lstrip() if message.startswith("'") else message
    for part in _parts(begin):
        assert not part.lstrip().lstrip("\u200b\ufeff").startswith(("=", "+", "-", "@", "＝")), row


@pytest.mark.parametrize("text", ["HTTP 404 - not found", "a, -5 degrees", "1 + 1 = 2", "mail@example.com"])
def test_plain_text_is_unchanged(alice: User, as_alice: Client, text: str) -> None:
    body: dict[str, Any] = {"jobType": "workflow", "payload": {"workflowName": "x", "steps": [{"name": "one"}]}}
    job = start(alice, body)[0]
    fail(claim(job.pk)[0], text)
    content = b"".join(as_alice.get(f"/api/jobs/{job.pk}/failures.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert text in content


def _parts(cell: str) -> list[str]:
    for separator in "\r\n\t|":
        cell = cell.replace(separator, ";")
    return cell.split(";")
