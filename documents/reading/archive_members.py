"""Documents inside documents: stored as children of theirs, and read by steps that are added to the same job."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction

from documents.errors import DocumentError
from documents.models import Document
from documents.storage import stored_files
from workflows import engine
from workflows.engine.claims import ClaimedStep
from workflows.models import WorkflowExecution
from workflows.steps import NewStep
from workflows.tools import StepContext

MAX_DEPTH = 3
"""Archives in archives in archives: what is inside those stays there."""
MAX_FAMILY = 2_000
"""Documents that came, at any depth, out of one."""


def depth_of(document: Document) -> int:
    """How many documents it lies in."""
    depth = 0
    while document.parent is not None:
        document, depth = document.parent, depth + 1
    return depth


def store_member(parent: Document, number: int, name: str, path: Path) -> Document:
    """The member's document: the same one at every reading of its parent. Raises DocumentError."""
    uid = uuid5(parent.uid, f"{number}:{name}")
    known = Document.objects.filter(pk=uid).first()
    if known is not None:
        return known
    if family_size(parent) >= MAX_FAMILY:
        raise stored_files.OverQuota(f"More than {MAX_FAMILY} documents came out of one: split the file.")
    with path.open("rb") as file:
        try:
            return stored_files.store_member(parent, uid, name, file)
        except stored_files.IdTaken:  # another reading of the parent was quicker
            return Document.objects.get(pk=uid)


def family_size(document: Document) -> int:
    """How many documents came out of the one that this one came out of at last."""
    while document.parent is not None:
        document = document.parent
    total, level = 0, [document.pk]
    while level := list(Document.objects.filter(parent__in=level).values_list("pk", flat=True)):
        total += len(level)
    return total


def store_members(parent: Document, parsed: dict[str, Any], folder: Path) -> list[Document]:
    """Stores what the child has unpacked; what cannot be is told in the warnings of `parsed`."""
    stored: list[Document] = []
    members: list[dict[str, str]] = parsed.get("members", [])
    for number, member in enumerate(members):
        try:
            stored.append(store_member(parent, number, member["name"], folder / member["file"]))
        except stored_files.OverQuota as error:
            parsed["warnings"].append(f"{len(members) - number} documents inside were not stored. {error.message}")
            break
        except DocumentError as error:
            parsed["warnings"].append(f"{member['name']} was not stored. {error.message}")
    return stored


def add_steps(context: StepContext, tool: str, members: list[Document], settings: dict[str, int]) -> None:
    """Steps for the members, behind those of the job; in a job that cannot do without one of its steps, none.

    There, such as in a workflow, the members are stored and wait for a job of their own.
    """
    if not members or context.claim_token is None or not _takes_more(context.execution_id):
        return
    steps = {
        str(member.uid): NewStep(member.filename, tool=tool, arguments={"documentId": str(member.uid), **settings})
        for member in members
        if member.step is None or member.step.execution_id != context.execution_id
    }
    with transaction.atomic():
        engine.add_steps(
            context.execution_id, steps, within=ClaimedStep(context.step_id, context.claim_token), actor=context.owner
        )
        Document.objects.attach(context.execution_id, only=[UUID(uid) for uid in steps])


def _takes_more(execution_id: UUID) -> bool:
    return WorkflowExecution.objects.filter(pk=execution_id, tolerates_failures=True).exists()
