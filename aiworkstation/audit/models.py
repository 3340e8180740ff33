"""What happened, who did it, and what changed. One append-only table."""

import pgtrigger
from django.db import models
from django.db.models.functions import Now


class AuditEvent(models.Model):
    """One event, written in the transaction of what it tells.

    `action` is `<noun>.<what happened>`, `object` is `<noun>:<id>`; no foreign keys, so that the trail outlives
    its objects.
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
        # Two events a step are written: each further index costs all of them. A search in the admin reads the table.
        indexes = (models.Index(fields=["execution_id", "id"], name="audit_by_execution"),)
        triggers = (pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),)

    def __str__(self) -> str:
        return f"{self.action} {self.object} by {self.actor}"
