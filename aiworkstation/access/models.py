"""API tokens, the number of API calls, and which user sees which rows."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import ClassVar, Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.utils import timezone

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[_Row]):
    """Rows that have an `owner`."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """A user sees their own rows, and staff see all rows. This is the only place with this rule."""
        owner = sees_only(user)
        return self if owner is None else self.filter(owner_id=owner or None)


def sees_only(user: AbstractBaseUser | AnonymousUser) -> int | None:
    """Returns the only owner whose rows `user` may see: 0 for none, None if the user may see all rows."""
    return None if getattr(user, "is_staff", False) else user.pk or 0


class Scope(models.TextChoices):
    """What an API token may do."""

    READ = "read", "Read jobs and documents, and search"
    RUN = "run", "Start, cancel and retry jobs"
    DOCUMENTS = "documents", "Upload and delete documents"
    ADMIN = "admin", "Reach other users' jobs and documents (staff)"


ALL_SCOPES = tuple(Scope.values)


def scopes_of(user: User) -> list[str]:
    """The scopes that the user's tokens can have."""
    return [scope for scope in ALL_SCOPES if scope != Scope.ADMIN or user.is_staff]


class ApiToken(models.Model):
    """A bearer token. Its text is shown once, and only its hash is stored."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, default="token")
    prefix = models.CharField(max_length=12, help_text="Its first characters, to tell tokens apart.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hex.")
    created_at = models.DateTimeField(auto_now_add=True)
    scopes = ArrayField(models.CharField(max_length=20))
    expires_at = models.DateTimeField(null=True, blank=True, help_text="The time from which it is refused.")
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=100, blank=True, default="", help_text="The caller's address.")

    is_narrowed = False
    """Whether the owner is staff, but calls with this token count as a user's who is not."""

    objects = OwnedQuerySet.as_manager()

    USE_INTERVAL: ClassVar = timedelta(minutes=1)

    class Meta:
        db_table = "api_tokens"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(
        cls, owner: User, name: str = "token", *, scopes: list[str] | None = None, expires_at: datetime | None = None
    ) -> tuple["ApiToken", str]:
        """Returns a new API token and its text, which cannot be read again. By default it has all scopes of the owner.

        Raises ValueError for scopes that the owner cannot give.
        """
        given = scopes_of(owner) if scopes is None else [scope for scope in ALL_SCOPES if scope in scopes]
        if not given or not set(scopes or given) <= set(scopes_of(owner)):
            raise ValueError(f"{owner} cannot give a token the scopes {scopes}.")
        text = "aiw_" + secrets.token_urlsafe(32)
        row = cls.objects.create(
            owner=owner, name=name, prefix=text[:10], digest=cls.digest_of(text), scopes=given, expires_at=expires_at
        )
        return row, text

    @staticmethod
    def digest_of(text: str) -> str:
        """A plain hash is enough, because the text has 256 random bits."""
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def find(cls, text: str) -> "ApiToken | None":
        """Returns the API token with this text if its owner may sign in. It may have expired."""
        found = cls.objects.select_related("owner").filter(digest=cls.digest_of(text), owner__is_active=True)
        return found.first()

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def caller(self) -> User:
        """Returns the owner as this token's calls see them: without the scope `admin`, as a user who is not staff."""
        if Scope.ADMIN not in self.scopes:
            self.is_narrowed = self.owner.is_staff
            self.owner.is_staff = self.owner.is_superuser = False
        return self.owner

    def mark_used(self, address: str) -> None:
        """Notes the time and the address, at most once a minute while the address is the same."""
        now = timezone.now()
        is_noted = self.last_used_at is not None and self.last_used_at >= now - self.USE_INTERVAL
        if not is_noted or self.last_used_from != address[:100]:
            ApiToken.objects.filter(pk=self.pk).update(last_used_at=now, last_used_from=address[:100])


class ApiUse(models.Model):
    """The number of a caller's requests in the current minute."""

    caller = models.CharField(primary_key=True, max_length=80, help_text="`token:<id>` or `user:<id>`.")
    minute = models.BigIntegerField()
    requests = models.PositiveIntegerField()

    class Meta:
        db_table = "api_uses"

    def __str__(self) -> str:
        return f"{self.caller}: {self.requests}"

    @staticmethod
    def count(caller: str) -> tuple[int, float]:
        """Counts a request. Returns their number in this minute, and the seconds until the next minute."""
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO api_uses AS uses (caller, minute, requests)
                VALUES (%s, floor(extract(epoch FROM clock_timestamp()) / 60), 1)
                ON CONFLICT (caller) DO UPDATE SET minute = excluded.minute,
                  requests = CASE WHEN uses.minute = excluded.minute THEN uses.requests + 1 ELSE 1 END
                RETURNING requests, 60 - extract(second FROM clock_timestamp())
                """,
                [caller],
            )
            requests, seconds_left = cursor.fetchone()
        return requests, float(seconds_left)


class SignInAttempts(models.Model):
    """The failed attempts to sign in with a name, or from an address. They are forgotten at the time `until`."""

    key = models.CharField(primary_key=True, max_length=200, help_text="`user:<name>` or `address:<address>`.")
    attempts = models.PositiveIntegerField()
    until = models.DateTimeField(help_text="When the attempts are forgotten.")

    class Meta:
        db_table = "sign_in_attempts"

    def __str__(self) -> str:
        return f"{self.key}: {self.attempts}"

    @staticmethod
    def count(key: str, *, limit: int) -> int:
        """Counts an attempt before it is made, so that attempts at the same time count too. Returns their number.

        While the limit is exceeded, further attempts do not make the wait longer.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO sign_in_attempts AS known (key, attempts, until)
                VALUES (%(key)s, 1, clock_timestamp() + %(minutes)s * interval '1 minute')
                ON CONFLICT (key) DO UPDATE SET
                  attempts = CASE WHEN known.until < clock_timestamp() THEN 1
                    ELSE least(known.attempts, 1000000) + 1 END,
                  until = CASE WHEN known.until >= clock_timestamp() AND known.attempts > %(limit)s
                    THEN known.until ELSE excluded.until END
                RETURNING attempts
                """,
                {"key": key, "minutes": settings.CONFIG.sign_in_lock_minutes, "limit": limit},
            )
            (attempts,) = cursor.fetchone()
        return int(attempts)

    @classmethod
    def give_back(cls, key: str) -> None:
        """Takes back one attempt, which was none."""
        cls.objects.filter(key=key, attempts__gt=0).update(attempts=models.F("attempts") - 1)

    @classmethod
    def forget(cls, key: str) -> bool:
        """Forgets the attempts of the key, and all that are old. Returns whether the key had any."""
        cls.objects.filter(until__lt=timezone.now()).exclude(key=key).delete()
        return bool(cls.objects.filter(key=key).delete()[0])
