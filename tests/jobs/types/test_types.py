"""Job types of other apps."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.web.serializers import Name
from jobs import job_type
from jobs.types import JobType, PayloadSerializer, Plan, register
from workflows.steps import NewStep


class GreetingPayload(PayloadSerializer):
    whom = Name()


class Greeting(JobType):
    name = "greeting"
    description = "Greets somebody."
    Payload = GreetingPayload

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        return Plan(name=f"Greet {payload['whom']}", steps=[NewStep("Greet", f"Write to {payload['whom']}")])


@pytest.fixture(autouse=True)
def greeting() -> Iterator[None]:
    register(Greeting)
    yield
    del job_type._registry["greeting"]


def test_it_works(as_alice: Client) -> None:
    body = {"jobType": "greeting", "payload": {"whom": "Bob", "mode": "Sales"}}
    response = as_alice.post("/api/jobs", body, "application/json")
    assert response.status_code == 202
    job = as_alice.get(response.json()["url"]).json()
    assert (job["jobType"], job["name"], job["mode"]) == ("greeting", "Greet Bob", "Sales")


def test_its_payload_is_validated(as_alice: Client) -> None:
    body = {"jobType": "greeting", "payload": {"who": "Bob"}}
    response = as_alice.post("/api/jobs", body, "application/json")
    assert {error["attr"] for error in response.json()["errors"]} == {"payload.who", "payload.whom"}


def test_a_name_belongs_to_one_class() -> None:
    register(Greeting)
    with pytest.raises(ValueError, match="two job types are named greeting"):
        register(type("Other", (Greeting,), {}))
