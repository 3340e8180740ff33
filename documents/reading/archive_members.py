"""Documents inside documents: stored with the outer document as their parent, and read by steps added to the job."""

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
"""Archives in archives in archives. Deeper members are not unpacked."""
MAX_FAMILY = 2_000
"""How many documents may come out of one, at any depth."""


def depth_of(document: Document) -> int:
    """Returns how many documents it is nested in."""
    depth = 0
    while document.parent is not None:
        document, depth = document.parent, depth + 1
    return depth


def store_member(parent: Document, number: int, name: str, path: Path) -> Document:
    """Returns the member's document. Every reading of the parent gets the same one. Raises DocumentError."""
    # The same id at every reading, so that a retry or an overlapping reading finds the document again.
    uid = uuid5(parent.uid, f"{number}:{name}")
    known = Document.objects.filter(pk=uid).first()
    if known is not None:
        return known
    if family_size(parent) >= MAX_FAMILY:
        raise stored_files.OverQuota(f"More than {MAX_FAMILY} documents came out of one: split the file.")
    with path.open("rb") as file:
        try:
            return stored_files.store_member(parent, uid, name, file)
        except stored_files.IdTaken:  # another reading of the parent stored it first
            return Document.objects.get(pk=uid)


def family_size(document: Document) -> int:
    """Returns how many documents came out of the outermost one."""
    while document.parent is not None:
        document = document.parent
    total, level = 0, [document.pk]
    while level := list(Document.objects.filter(parent__in=level).values_list("pk", flat=True)):
        total += len(level)
    return total


def store_members(parent: Document, parsed: dict[str, Any], folder: Path) -> list[Document]:
    """Stores what the child has unpacked. Adds a warning to `parsed` for what cannot be stored."""
    stored: list[Document] = []
    members: list[dict[str, str]] = parsed.get("members", [])
    for done, member in enumerate(members):
        try:
            path = _path_of(folder, member["file"])
            # The file's name is the member's place in the parent, whatever was left out before it.
            stored.append(store_member(parent, int(path.name), member["name"], path))
        except stored_files.OverQuota as error:
            parsed["warnings"].append(f"{len(members) - done} documents inside were not stored. {error.message}")
            break
        except DocumentError as error:
            parsed["warnings"].append(f"{member['name']} was not stored. {error.message}")
    return stored


def _path_of(folder: Path, file: str) -> Path:
    """The child's word is not trusted: the name has no folders, and the file is neither a link nor a device."""
    path = folder / file
    if not file.isdecimal() or path.is_symlink() or not path.is_file():
        raise DocumentError("It was not unpacked.")
    return path


def add_steps(context: StepContext, tool: str, members: list[Document], settings: dict[str, int]) -> None:
    """Adds a step for each member at the end of the job.

    A job that fails with any of its steps, such as a workflow, gets none: there the members are only stored.
    """
    if not members or context.claim_token is None or not _tolerates_failures(context.execution_id):
        return
    steps = {
        str(member.uid): NewStep(member.filename, tool=tool, arguments={"documentId": str(member.uid), **settings})
        for member in members
        if member.step is None or member.step.execution_id != context.execution_id
    }
    # One transaction, so that no step is without its document's link. `within` adds nothing if the claim was lost.
    with transaction.atomic():
        engine.add_steps(
            context.execution_id, steps, within=ClaimedStep(context.step_id, context.claim_token), actor=context.owner
        )
        Document.objects.attach(context.execution_id, only=[UUID(uid) for uid in steps])


def _tolerates_failures(execution_id: UUID) -> bool:
    return WorkflowExecution.objects.filter(pk=execution_id, tolerates_failures=True).exists()
