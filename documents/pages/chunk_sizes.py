"""The form fields for a chunk size and an overlap."""

from typing import Any

from django import forms

from aiworkstation.web.form_fields import WholeNumber
from documents.text.chunker import CHUNK_SIZE, MAX_CHUNK_SIZE, OVERLAP, overlap_error


class ChunkSizesForm(forms.Form):
    """Sizes in tokens, within the limits of DOCUMENT_INGEST. A field left empty has the API's default."""

    chunk_size = WholeNumber(label="Chunk size", min_value=1, max_value=MAX_CHUNK_SIZE, required=False)
    overlap = WholeNumber(label="Overlap", min_value=0, required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, default in (("chunk_size", CHUNK_SIZE), ("overlap", OVERLAP)):
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = default
        if not self.errors and (reason := overlap_error(cleaned["chunk_size"], cleaned["overlap"])):
            self.add_error("overlap", f"The overlap {reason}.")
        return cleaned
