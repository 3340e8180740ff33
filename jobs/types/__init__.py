"""Job types: what a client may ask for, and the steps that it comes to.

An app named in EXTRA_APPS brings more in its `job_types.py`: importing it registers them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User

from aiworkstation.web.serializers import StrictSerializer
from documents.labels import ModeField, ProjectIdField, TagsField
from workflows.models import Queue
from workflows.steps import NewStep


@dataclass(slots=True)
class Plan:
    """What a payload comes to."""

    name: str
    steps: list[NewStep]
    description: str = ""
    model_id: str = ""
    tolerates_failures: bool = False


class PayloadSerializer(StrictSerializer):
    """What every payload may hold. `context["user"]` is whose job it will be."""

    mode = ModeField(required=False)
    projectId = ProjectIdField(required=False)
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
