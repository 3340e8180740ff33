"""Files that come with a form."""

from typing import Any

from django import forms
from django.contrib import messages

from aiworkstation.web.requests import Request
from documents.errors import DocumentError
from documents.labels import MAX_PROJECT_ID, MAX_TAG, mode_choices, split_tags
from documents.models import Document
from documents.storage.multipart import RefusedFile
from documents.storage.stored_files import store
from workflows.models import Mode

TOLD = 20
"""Refused files that are named, each with its reason."""


class UploadForm(forms.Form):
    """The labels of the files; the files themselves are judged one by one when they are stored."""

    project_id = forms.CharField(label="Project", required=False, max_length=MAX_PROJECT_ID)
    tags = forms.CharField(required=False, help_text="Separated by commas.")
    mode = forms.ChoiceField(choices=mode_choices, required=False, initial=Mode.DEFAULT)

    def clean_tags(self) -> list[str]:
        tags = split_tags([self.cleaned_data["tags"]])
        if any(len(tag) > MAX_TAG for tag in tags):
            raise forms.ValidationError(f"A tag has at most {MAX_TAG} characters.")
        return tags


def receive_files(request: Request) -> list[Document]:
    """Stores the files of an upload form, of a `screened` view. What is wrong with one is told, and stops no others."""
    form = UploadForm(request.POST)
    files: list[Any] = request.FILES.getlist("file")
    if not form.is_valid():
        for name in form.errors:
            for error in form[name].errors:
                messages.error(request, f"{form[name].label}: {error}")
        return []
    if not files:
        messages.error(request, "Choose one file or more.")
    stored: list[Document] = []
    refused: list[str] = []
    for file in files:
        try:
            stored.append(_store(request, file, form.cleaned_data))
        except DocumentError as error:
            refused.append(f"{file.name}: {error.message}")
    for line in refused[:TOLD]:
        messages.error(request, line)
    if len(refused) > TOLD:
        messages.error(request, f"{len(refused) - TOLD:,} more files were refused.")
    if doubled := [document for document in stored if document.duplicate_of]:
        messages.info(request, _told_of(doubled))
    return stored


def _told_of(doubled: list[Document]) -> str:
    if len(doubled) > 1:
        return f"{len(doubled):,} files were here already: their bytes are stored once."
    (document,) = doubled
    original = document.duplicate_of.filename if document.duplicate_of else ""
    return f"{document.filename} was here already, as {original}: its bytes are stored once."


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
