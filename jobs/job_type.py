"""The base of job types, and their registry: what a client may ask for, and which steps a job of that type has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User

from aiworkstation.web.serializers import StrictSerializer
from documents.labels import JobModeField, ProjectIdField, TagsField
from workflows.models import Queue
from workflows.steps import NewStep


@dataclass(slots=True)
class Plan:
    """The job that a payload asks for."""

    name: str
    steps: list[NewStep]
    description: str = ""
    model_id: str = ""
    tolerates_failures: bool = False


class PayloadSerializer(StrictSerializer):
    """The keys that every payload may have. `context["user"]` is the owner of the new job."""

    mode = JobModeField()
    projectId = ProjectIdField(required=False)
    tags = TagsField()


class JobType(ABC):
    """A kind of job: its payload, and how to plan its steps."""

    name: ClassVar[str]
    description: ClassVar[str]
    queue: ClassVar[Queue] = Queue.NORMAL
    Payload: ClassVar[type[PayloadSerializer]] = PayloadSerializer
    lists_files: ClassVar[bool] = False
    """Each step reads a document: the job's page shows a table of files."""

    @abstractmethod
    def plan(self, payload: dict[str, Any], owner: User) -> Plan:
        """Returns the job for a payload that `Payload` has validated."""

    def stored(self, execution_id: UUID, payload: dict[str, Any]) -> None:  # noqa: B027 most have nothing to add
        """Runs after the job is stored, in the same transaction: write rows that belong to the job here."""


_registry: dict[str, JobType] = {}


def register(job_type: type[JobType]) -> type[JobType]:
    """Class decorator. Raises ValueError if another class has the same name."""
    known = _registry.get(job_type.name)
    if known is not None and type(known) is not job_type:
        raise ValueError(f"two job types are named {job_type.name}: {type(known)!r} and {job_type!r}")
    _registry[job_type.name] = job_type()
    return job_type


def find_job_type(name: str) -> JobType | None:
    return _registry.get(name)


def job_type_names() -> list[str]:
    return sorted(_registry)
