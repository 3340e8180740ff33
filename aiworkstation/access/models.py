"""Who may call, and who sees what."""

import hashlib
import secrets
from typing import Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[_Row]):
    """Rows with an `owner`."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The one place that says who sees what: one's own, and staff everything."""
        if getattr(user, "is_staff", False):
            return self
        return self.filter(owner_id=user.pk)


class ApiToken(models.Model):
    """A bearer token. It is shown once; only its hash is kept."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, default="token")
    prefix = models.CharField(max_length=12, help_text="Its first characters, to tell tokens apart.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hex.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "api_tokens"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(cls, owner: User, name: str = "token") -> tuple["ApiToken", str]:
        """A new token and its text, which nobody can read again."""
        text = "aiw_" + secrets.token_urlsafe(32)
        row = cls.objects.create(owner=owner, name=name, prefix=text[:10], digest=cls.digest_of(text))
        return row, text

    @staticmethod
    def digest_of(text: str) -> str:
        """The token is 256 random bits, so a plain hash is enough."""
        return hashlib.sha256(text.encode()).hexdigest()
