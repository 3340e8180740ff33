"""Modes and secrets, and who may use them."""

from typing import ClassVar, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

HOST_AND_PORT = RegexValidator(r"\A[a-z0-9.\[\]:_-]+:[0-9]{1,5}\Z", "Write host:port, in lower case.")


def granted_to(user_id: int) -> Q:
    """Rows whose groups the user is in, and those that are granted to everybody."""
    return Q(groups=None) | Q(groups__user=user_id)


class ModeQuerySet(models.QuerySet["Mode"]):
    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The modes that are granted to one of the user's groups, or to everybody."""
        return self.filter(granted_to(user.pk or 0)).distinct()


class Mode(models.Model):
    """A named set of instructions for models: a prompt, a default model, and the tools that steps may use."""

    DEFAULT: ClassVar[str] = "General"

    name = models.CharField(max_length=60, unique=True)
    prompt = models.TextField(blank=True, help_text="Instructions at the beginning of every model call.")
    default_model = models.CharField(max_length=200, blank=True, help_text="Empty: DEFAULT_MODEL.")
    tools = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text="Slugs of the tools that it may use; empty: every tool.",
    )
    model_ids = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="The models that a job may name in it, separated by commas; empty: every model.",
    )
    hosts = ArrayField(
        models.CharField(max_length=260, validators=[HOST_AND_PORT]),
        default=list,
        blank=True,
        help_text="host:port, separated by commas, to which arguments may go that a model chose, such as "
        "api.example.com:443. For other hosts, a person is asked.",
    )
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="Whose members may start jobs in this mode. None selected: everybody."
    )

    objects = ModeQuerySet.as_manager()

    class Meta:
        db_table = "workflow_modes"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def allows(self, tool: str) -> bool:
        return not self.tools or tool in self.tools


class SecretGrantQuerySet(models.QuerySet["SecretGrant"]):
    def for_job(self, mode: str, owner_id: int) -> Self:
        """The grants that a job of this mode and owner may use."""
        of_mode = Q(modes=None) | Q(modes__name=mode)
        return self.filter(of_mode, granted_to(owner_id)).distinct()


class SecretGrant(models.Model):
    """Where the secret SECRET_NAME may be sent. Without a grant, it is not sent. Staff create grants in the admin."""

    secret = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"\A[A-Za-z0-9_]+\Z", "Write the name as in {{secret.NAME}}, without SECRET_.")],
        help_text="The name as in {{secret.NAME}}. The value is SECRET_NAME in the environment of the workers.",
    )
    hosts = ArrayField(
        models.CharField(max_length=260, validators=[HOST_AND_PORT]),
        help_text="host:port, separated by commas, such as api.example.com:443. Reached over https only, except "
        "hosts in HTTP_ALLOWED_PRIVATE_HOSTS.",
    )
    places = ArrayField(
        models.CharField(
            max_length=300,
            validators=[
                RegexValidator(
                    r"\A(header:[a-z0-9-]+|query:.+|body|body:.+)\Z",
                    "Write header:NAME (in lower case), query:NAME, body or body:PATH.",
                )
            ],
        ),
        help_text="header:NAME (in lower case), query:NAME, body (text) or body:PATH (keys of the JSON with dots), "
        "separated by commas, such as header:authorization.",
    )
    modes = models.ManyToManyField(Mode, blank=True, help_text="None selected: every mode.")
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="The owner of the job must be in one of them. None selected: everybody."
    )

    objects = SecretGrantQuerySet.as_manager()

    class Meta:
        db_table = "workflow_secret_grants"
        ordering = ("secret", "pk")

    def __str__(self) -> str:
        return f"{self.secret} to {', '.join(self.hosts)}"
