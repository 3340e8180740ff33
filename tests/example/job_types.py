"""A job type: a payload, and the steps that it comes to."""

from typing import Any

from django.contrib.auth.models import User

from aiworkstation.web.serializers import Name
from jobs.types import JobType, PayloadSerializer, Plan, register
from workflows.steps import NewStep


class CountPayload(PayloadSerializer):
    text = Name(max_length=10_000)
    word = Name(max_length=100)


@register
class Count(JobType):
    name = "example-count"
    description = "Counts a word."
    Payload = CountPayload

    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        arguments = {"text": payload["text"], "word": payload["word"]}
        return Plan(name="Count", steps=[NewStep("Count", tool="EXAMPLE_COUNT_WORD", arguments=arguments)])
