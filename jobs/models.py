"""The keys of requests that started a job."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from workflows.models import WorkflowExecution


class IdempotencyKey(models.Model):
    """A client's key for a request that started a job. For 24 hours, the same key returns the same job."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    execution = models.ForeignKey(WorkflowExecution, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "job_idempotency_keys"
        constraints = (models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key"),)

    def __str__(self) -> str:
        return self.key
