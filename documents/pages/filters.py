"""The filters of the document list page."""

from dataclasses import dataclass
from typing import ClassVar

from django.db.models import QuerySet

from aiworkstation.web.list_filter import ListFilter
from documents.lookup import list_documents
from documents.models import Document, DocumentStatus


@dataclass(frozen=True)
class DocumentFilter(ListFilter):
    url_name: ClassVar[str] = "documents:list"

    state: str = ""
    q: str = ""
    project: str = ""
    tag: str = ""

    @property
    def states(self) -> list[tuple[str, str]]:
        return [("", "All"), *DocumentStatus.choices]

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {"state": self.states}

    def documents(self) -> QuerySet[Document]:
        """Returns the user's own documents that pass the filters."""
        filters = {"q": self.q, "project_id": self.project, "tag": self.tag}
        status = [self.state] if self.state in DocumentStatus.values else []
        return list_documents(self.user, {**filters, "status": status}).select_related("step")
