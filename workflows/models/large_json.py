"""How much room the large JSON of jobs takes."""

from uuid import UUID

from django.conf import settings
from django.db import models, transaction

from aiworkstation.access import quota

LARGE = 4_000
"""Smaller ones are not counted: with each, the row itself takes as much."""


class LargeJson(models.Model):
    """The size of a job's payload, or of the output of one of its steps. It counts against the owner's quota.

    It is written before the output is recorded, in a transaction of its own: the engine's turns count nothing.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    part = models.UUIDField(primary_key=True, help_text="The step whose output it is, or the job whose payload it is.")
    # Without a constraint, whose check would lock the job's row and wait for the engine.
    execution = models.ForeignKey(
        "workflows.WorkflowExecution", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    size = models.PositiveBigIntegerField()

    class Meta:
        db_table = "workflow_large_json"

    def __str__(self) -> str:
        return f"{self.size} bytes of {self.part}"

    @staticmethod
    def is_counted(size: int, attempt: int) -> bool:
        """Whether `take_room` has anything to do: an earlier attempt may have taken room."""
        return size >= LARGE or attempt > 1

    @classmethod
    @transaction.atomic
    def take_room(cls, owner_id: int, execution_id: UUID, part: UUID, size: int) -> None:
        """Takes room for the payload or the output, instead of what an earlier attempt took. Raises OverQuota."""
        quota.lock(owner_id)
        cls.objects.filter(pk=part).delete()
        if size >= LARGE:
            quota.check(owner_id, size)
            cls.objects.create(part=part, owner_id=owner_id, execution_id=execution_id, size=size)
