"""The audit trail: what happened, who did it, and what changed."""

from django.db import models
from django.db.models.functions import Now

from aiworkstation.audit.triggers import APPEND_ONLY


class AuditEvent(models.Model):
    """An audit event. It is written in the transaction of the change that it records.

    `action` is `<noun>.<what happened>`, `object` is `<noun>:<id>`. There are no foreign keys, so an event outlives
    its object.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=60)
    object = models.CharField(max_length=120)
    execution_id = models.UUIDField(null=True, blank=True)
    changes = models.JSONField(default=dict)

    class Meta:
        db_table = "audit_events"
        ordering = ("-id",)
        # Every step writes two events, and each index makes all of them slower. A search in the admin reads the table.
        indexes = (models.Index(fields=["execution_id", "id"], name="audit_by_execution"),)
        triggers = (APPEND_ONLY,)

    def __str__(self) -> str:
        return f"{self.action} {self.object} by {self.actor}"
