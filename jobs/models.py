"""The keys of requests that started a job, and saved workflows."""

from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aiworkstation.access.models import OwnedQuerySet, sees_only
from aiworkstation.ids import uuid7
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


class SavedWorkflowQuerySet(OwnedQuerySet["SavedWorkflow"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Everybody who is signed in also sees, and may run, the shared ones."""
        owner = sees_only(user)
        return self if owner is None else self.filter(Q(owner_id=owner) | Q(is_shared=True)) if owner else self.none()


class SavedWorkflow(models.Model):
    """The payload of a workflow, kept under a name to be run again. `version` and `payload` are the newest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(  # `saved_workflow_name` serves it
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_workflows", db_index=False
    )
    name = models.CharField(max_length=64)
    version = models.IntegerField(default=1)
    payload = models.JSONField()
    is_shared = models.BooleanField(default=False, help_text="Everybody may read and run it.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = SavedWorkflowQuerySet.as_manager()

    class Meta:
        db_table = "saved_workflows"
        ordering = ("-created_at", "-id")
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="saved_workflow_name"),)
        indexes = (models.Index(fields=["name"], name="saved_workflow_shared", condition=Q(is_shared=True)),)

    def __str__(self) -> str:
        return self.name

    def may_be_changed_by(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        return sees_only(user) in (None, self.owner_id)


class WorkflowVersion(models.Model):
    """A version of a saved workflow. It never changes."""

    workflow = models.ForeignKey(  # `workflow_version_number` serves it
        SavedWorkflow, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    version = models.IntegerField()
    payload = models.JSONField()
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "saved_workflow_versions"
        ordering = ("-version",)
        constraints = (models.UniqueConstraint(fields=["workflow", "version"], name="workflow_version_number"),)

    def __str__(self) -> str:
        return f"version {self.version}"
