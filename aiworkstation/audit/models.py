"""The audit trail (what happened, who did it, from where, what changed), its seals, and how far it has been read."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import connection, models
from django.db.models.functions import Now

NOT_OF_A_STEP = ~models.Q(action__startswith="step.")


class AuditEvent(models.Model):
    """An audit event. It is written in the transaction of the change that it records.

    `action` is `<noun>.<what happened>`, `object` is `<noun>:<id>`. There are no foreign keys, so an event outlives
    its object. Triggers set `id`, `at`, `channel` and `address`, and refuse every update and deletion: see
    `migrations/0001_audit.sql`.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=400)
    channel = models.CharField(max_length=20, db_default="", editable=False)
    address = models.CharField(max_length=100, db_default="", editable=False)
    action = models.CharField(max_length=60)
    object = models.CharField(max_length=120)
    execution_id = models.UUIDField(null=True, blank=True)
    changes = models.JSONField(default=dict)

    class Meta:
        db_table = "audit_events"
        ordering = ("-id",)
        # Every step writes two events, and each index makes them slower. So the events of steps are found by their
        # job and by time only: the other indexes leave them out, and that by time costs next to nothing.
        indexes = (
            models.Index(fields=["execution_id", "id"], name="audit_by_execution"),
            models.Index(fields=["action", "id"], name="audit_by_action", condition=NOT_OF_A_STEP),
            models.Index(fields=["actor", "id"], name="audit_by_actor", condition=NOT_OF_A_STEP),
            models.Index(fields=["object", "id"], name="audit_by_object", condition=NOT_OF_A_STEP),
            BrinIndex(fields=["at"], name="audit_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object} by {self.actor}"


class AuditSeal(models.Model):
    """A link of the chain: the events with ids from `first_id` to `last_id`, each with its hash.

    `digest` covers these and the digest of the seal before. See `chain.py`.
    """

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    event_ids = ArrayField(models.BigIntegerField())
    event_digests = ArrayField(models.BinaryField())
    digest = models.BinaryField()

    class Meta:
        db_table = "audit_seals"
        ordering = ("-number",)
        constraints = (
            models.CheckConstraint(name="seal_goes_on", condition=models.Q(last_id__gte=models.F("first_id"))),
        )

    def __str__(self) -> str:
        return f"{self.number}:{bytes(self.digest).hex()}"


class AuditCursor(models.Model):
    """The audit event up to which a reader has processed the trail. See `follower.py`."""

    name = models.CharField(primary_key=True, max_length=40)
    last_id = models.BigIntegerField()

    class Meta:
        db_table = "audit_cursors"

    def __str__(self) -> str:
        return f"{self.name} at {self.last_id}"

    @classmethod
    def locked(cls, name: str) -> Self:
        """Returns the row, locked until the transaction ends. A new one is at the end of the trail."""
        cls.objects.get_or_create(name=name, defaults={"last_id": last_given_id})
        return cls.objects.select_for_update().get(pk=name)

    def skip_to_end(self) -> None:
        """The reader gets no event that is there already."""
        self.last_id = last_given_id()
        self.save(update_fields=["last_id"])


def last_given_id() -> int:
    """The greatest id that an event has, or had in a transaction that was rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM audit_events_id_seq")
        (id,) = cursor.fetchone()
    return int(id)
