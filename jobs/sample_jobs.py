"""The sample jobs of a first start: one ingests bundled documents, the other is a workflow that reads one of them."""

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from documents.lookup import find_documents
from documents.storage.stored_files import store
from documents.tools import DocumentRead
from jobs.start import start
from workflows.models import WorkflowExecution

FILES = Path(__file__).parent / "sample_documents"
PROJECT = "samples"
CONTACTS = "sample-contacts"


def submit(user: User) -> list[WorkflowExecution]:
    """Starts both jobs. The workflow's first step waits until its document is indexed. No model is named."""
    ids = _upload(user)
    documents = [{"id": id} for id in ids]
    ingestion = {"documents": documents, "projectId": PROJECT, "tags": ["sample"], "mode": "General"}
    bodies = [{"jobType": "bulk-documents", "payload": ingestion}, _workflow()]
    return [start(user, body)[0] for body in bodies]


def _upload(user: User) -> list[str]:
    """Returns the ids of the sample documents. Documents that an earlier call uploaded are used again."""
    files = {f"sample-{path.stem}": path for path in sorted(FILES.iterdir())}
    known = find_documents(user, files)
    for id, path in files.items():
        if id not in known:
            with path.open("rb") as file:
                store(user, path.name, file, client_id=id, project_id=PROJECT, tags=["sample"])
    return list(files)


def _workflow() -> dict[str, Any]:
    steps = [
        {
            "name": "Read the contacts",
            "description": "Get the rows of the contact list",
            "tool": DocumentRead.slug,
            "arguments": {"documentId": CONTACTS},
        },
        {
            "name": "Analyze",
            "description": "Which regions and companies bring the most revenue, and whom to call next?",
        },
        {"name": "Report", "description": "Write a short report of the analysis for the sales meeting"},
    ]
    payload = {
        "workflowName": "Sample: report on the contact list",
        "workflowDescription": "Reads a bundled contact list, analyzes it and writes a report",
        "steps": steps,
        "mode": "Sales",
        "projectId": PROJECT,
        "tags": ["sample"],
    }
    return {"jobType": "workflow", "payload": payload}
