"""What a person chose to see of the list of jobs."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.urls import reverse

from aiworkstation.access.lookup import ALL
from aiworkstation.web.requests import Request
from jobs.lookup import list_executions
from workflows.models import ExecutionStatus, WorkflowExecution

UNFINISHED = "unfinished"
NAMES = ("status", "type", "q", "owner")


@dataclass(frozen=True)
class JobFilter:
    user: User
    status: str = ""
    type: str = ""
    q: str = ""
    owner: str = ""

    @classmethod
    def of(cls, request: Request) -> Self:
        given = {name: request.GET.get(name, "").strip().replace("\0", "") for name in NAMES}
        return cls(request.user, **given)

    @property
    def is_set(self) -> bool:
        return bool(self.status or self.type or self.q)

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [("", "All"), (UNFINISHED, "Unfinished"), *ExecutionStatus.choices]

    def jobs(self) -> QuerySet[WorkflowExecution]:
        """All of one's own, unless told; `list_executions` gives unfinished ones where no status is named."""
        status = [] if self.status == UNFINISHED else [self.status or ALL]
        filters = {"status": status, "type": self.type, "q": self.q, "owner": self.owner}
        return list_executions(self.user, filters)

    def url(self, **more: str) -> str:
        chosen = {name: value for name in NAMES if (value := getattr(self, name))}
        return f"{reverse('jobs:list')}?{urlencode(chosen | more)}"
