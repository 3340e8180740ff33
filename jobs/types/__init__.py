"""Job types: what a client may ask for, and the steps that it comes to.

An app named in EXTRA_APPS brings more in its `job_types.py`: importing it registers them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from rest_framework import serializers

from aiworkstation.web.serializers import Name, StrictSerializer, Text
from workflows.models import Mode, Queue
from workflows.steps import NewStep

MAX_TAGS = 100


@dataclass(slots=True)
class Plan:
    """What a payload comes to."""

    name: str
    steps: list[NewStep]
    description: str = ""
    model_id: str = ""
    tolerates_failures: bool = False


class ModeField(serializers.Field[Mode, Any, Any, Any]):
    """The name of a mode; its row, once validated."""

    default_error_messages = {"unknown": "There is no mode {name}. There are: {known}."}

    def to_internal_value(self, data: Any) -> Mode:
        name = Name(max_length=60).run_validation(data)
        mode = Mode.objects.filter(name=name).first()
        if mode is None:
            known = ", ".join(Mode.objects.values_list("name", flat=True))
            self.fail("unknown", name=name, known=known)
        return mode


class TagsField(serializers.ListField):
    """Labels, each one once, in their order."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=Name(max_length=100), max_length=MAX_TAGS, required=False, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class PayloadSerializer(StrictSerializer):
    """What every payload may hold. `context["user"]` is whose job it will be."""

    mode = ModeField(required=False)
    projectId = Text(max_length=200, required=False, allow_blank=True, source="project_id")
    tags = TagsField()


class JobType(ABC):
    """A kind of job: its payload, and the steps that it is made of."""

    name: ClassVar[str]
    description: ClassVar[str]
    queue: ClassVar[Queue] = Queue.NORMAL
    Payload: ClassVar[type[PayloadSerializer]] = PayloadSerializer
    lists_files: ClassVar[bool] = False
    """Each step reads a document: the job's page is a table of them."""

    @abstractmethod
    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        """`payload` is what `Payload` has validated."""

    def stored(self, execution_id: UUID, payload: dict[str, Any]) -> None:  # noqa: B027 most have nothing to add
        """The job is stored, its transaction is not over: what belongs to it may be written here."""


_registry: dict[str, JobType] = {}


def register(job_type: type[JobType]) -> type[JobType]:
    """Class decorator. A name that is taken by another class is an error at import."""
    known = _registry.get(job_type.name)
    if known is not None and type(known) is not job_type:
        raise ValueError(f"two job types are named {job_type.name}: {type(known)!r} and {job_type!r}")
    _registry[job_type.name] = job_type()
    return job_type


def get(name: str) -> JobType | None:
    return _registry.get(name)


def names() -> list[str]:
    return sorted(_registry)
