"""pgvector's types, as far as Django must know them: what they hold is written and read as text, in SQL."""

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
    """Of any number of dimensions."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "halfvec"
