"""The filters of the document list page."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.urls import reverse

from aiworkstation.web.requests import Request
from documents.lookup import list_documents
from documents.models import Document, DocumentStatus

NAMES = ("state", "q", "project", "tag")


@dataclass(frozen=True)
class DocumentFilter:
    user: User
    state: str = ""
    q: str = ""
    project: str = ""
    tag: str = ""

    @classmethod
    def of(cls, request: Request) -> Self:
        given = {name: request.GET.get(name, "").strip().replace("\0", "") for name in NAMES}
        return cls(request.user, **given)

    @property
    def chosen(self) -> dict[str, str]:
        return {name: value for name in NAMES if (value := getattr(self, name))}

    @property
    def states(self) -> list[tuple[str, str]]:
        return [("", "All"), *DocumentStatus.choices]

    def documents(self) -> QuerySet[Document]:
        """Returns the user's own documents that pass the filters."""
        filters = {"q": self.q, "project_id": self.project, "tag": self.tag}
        status = [self.state] if self.state in DocumentStatus.values else []
        return list_documents(self.user, {**filters, "status": status}).select_related("step")

    def url(self, **more: str) -> str:
        return f"{reverse('documents:list')}?{urlencode(self.chosen | more)}"
