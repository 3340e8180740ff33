"""The upload form, and storing the files that come with it."""

from typing import Any

from django import forms
from django.contrib import messages

from aiworkstation.web.form_fields import Choice, Line
from aiworkstation.web.requests import Request
from documents.errors import DocumentError
from documents.labels import MAX_PROJECT_ID, MAX_TAG, MAX_TAGS, ModeFormMixin, split_tags
from documents.models import Document
from documents.storage.multipart import RefusedFile
from documents.storage.stored_files import store
from workflows.models import Mode

MAX_NAMED = 20
"""How many refused files are named, each with its reason."""


class UploadForm(ModeFormMixin, forms.Form):
    """The labels of the files. Each file is checked when it is stored."""

    project_id = Line(label="Project", required=False, max_length=MAX_PROJECT_ID)
    tags = Line(required=False, help_text="Separated by commas.")
    mode = Choice(required=False, initial=Mode.DEFAULT)

    def clean_tags(self) -> list[str]:
        tags = split_tags([self.cleaned_data["tags"]])
        if any(len(tag) > MAX_TAG for tag in tags):
            raise forms.ValidationError(f"A tag has at most {MAX_TAG} characters.")
        if len(set(tags)) > MAX_TAGS:
            raise forms.ValidationError(f"At most {MAX_TAGS} tags are allowed.")
        return tags


def receive_files(request: Request) -> list[Document]:
    """Stores the uploaded files of a `screened` view. A refused file becomes a message and does not stop the others."""
    form = UploadForm(request.POST, user=request.user)
    files: list[Any] = request.FILES.getlist("file")
    if not form.is_valid():
        for name in form.errors:
            for error in form[name].errors:
                messages.error(request, f"{form[name].label}: {error}")
        return []
    if not files:
        messages.error(request, "Choose at least one file.")
    stored: list[Document] = []
    refused: list[str] = []
    for file in files:
        try:
            stored.append(_store(request, file, form.cleaned_data))
        except DocumentError as error:
            refused.append(f"{file.name}: {error.message}")
    for line in refused[:MAX_NAMED]:
        messages.error(request, line)
    if len(refused) > MAX_NAMED:
        messages.error(request, f"{len(refused) - MAX_NAMED:,} more files were refused.")
    if duplicates := [document for document in stored if document.duplicate_of]:
        messages.info(request, _duplicates_message(duplicates))
    return stored


def _duplicates_message(duplicates: list[Document]) -> str:
    if len(duplicates) > 1:
        return f"{len(duplicates):,} files were uploaded before: their bytes are stored once."
    (document,) = duplicates
    original = document.duplicate_of.filename if document.duplicate_of else ""
    return f"{document.filename} was uploaded before as {original}: its bytes are stored once."


def _store(request: Request, file: Any, labels: dict[str, Any]) -> Document:
    """Raises DocumentError."""
    if isinstance(file, RefusedFile):
        raise file.error
    return store(
        request.user,
        file.name,
        file,
        project_id=labels["project_id"],
        tags=labels["tags"],
        mode=labels["mode"] or Mode.DEFAULT,
    )
