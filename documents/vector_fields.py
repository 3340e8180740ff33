"""The column types of pgvector. Their values are written and read as text, in SQL only."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class SparseVectorField(models.Field):  # type: ignore[type-arg]
    def __init__(self, *args: Any, dimensions: int, **options: Any) -> None:
        self.dimensions = dimensions
        super().__init__(*args, **options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "dimensions": self.dimensions}

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"sparsevec({self.dimensions})"


class HalfVectorField(models.Field):  # type: ignore[type-arg]
    """Half-precision vectors of any number of dimensions."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "halfvec"
