"""Executions, workers and modes in the admin. Executions are changed only by the engine's verbs."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from aiworkstation.audit.admin import ReadOnly
from aiworkstation.audit.record import record
from aiworkstation.ops.config import webhook_secret_error
from workflows import engine, placeholders, tools
from workflows.django_q import admin as queue_admin
from workflows.models import Mode, OutsideWorker, SecretGrant, Worker, WorkflowExecution, WorkflowStep
from workflows.network import webhooks

SHOWN_STEPS = 200

queue_admin.register()


class StepInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = WorkflowStep
    fields = ("index", "name", "tool", "status", "attempt", "progress", "message", "error", "started_at", "finished_at")
    readonly_fields = fields
    ordering = ("index",)
    verbose_name_plural = f"steps (the first {SHOWN_STEPS})"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowStep]:
        return super().get_queryset(request).filter(index__lt=SHOWN_STEPS).defer("output", "arguments")


@admin.register(WorkflowExecution)
class ExecutionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        "name",
        "job_type",
        "owner",
        "status",
        "steps_finished",
        "steps_total",
        "queue",
        "created_at",
        "finished_at",
    )
    list_filter = ("status", "job_type", "queue", "mode", "created_at")
    list_select_related = ("owner",)
    search_fields = ("id", "name", "owner__username", "project_id")
    inlines = (StepInline,)
    actions = ("cancel", "retry")
    show_full_result_count = False
    readonly_fields = ("audit_trail",)

    @admin.display(description="audit trail")
    def audit_trail(self, obj: WorkflowExecution) -> str:
        address = f"{reverse('admin:audit_auditevent_changelist')}?q={obj.pk}"
        return format_html('<a href="{}">Events of this job</a>', address)

    def view_on_site(self, obj: WorkflowExecution) -> str:
        """The job's own page, without the redirect that needs the request's scheme."""
        return str(obj.get_absolute_url())  # type: ignore[attr-defined]  # see ABSOLUTE_URL_OVERRIDES

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("workflows.change_workflowexecution"))

    @admin.action(description="Cancel the selected jobs", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        actor = request.user.get_username()
        done = sum(engine.cancel(key, actor=actor) for key in queryset.values_list("pk", flat=True))
        self.message_user(request, f"{done} jobs cancelled. Finished jobs were not changed.", messages.SUCCESS)

    @admin.action(description="Retry the selected jobs", permissions=["steer"])
    def retry(self, request: HttpRequest, queryset: QuerySet[WorkflowExecution]) -> None:
        actor = request.user.get_username()
        done = sum(engine.retry(key, actor=actor) for key in queryset.values_list("pk", flat=True))
        self.message_user(request, f"{done} jobs retried. Jobs that had not failed were not changed.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("kind", "host", "pid", "version", "busy", "slots", "draining", "started_at", "last_beat")


def _tool_choices() -> list[tuple[str, str]]:
    return [(tool.slug, f"{tool.slug}: {tool.description}") for tool in tools.offered_tools()]


class ModeForm(forms.ModelForm):  # type: ignore[type-arg]
    tools = forms.MultipleChoiceField(
        choices=_tool_choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="The tools that this mode may use. None selected: every tool.",
    )

    class Meta:
        model = Mode
        fields = ("name", "prompt", "default_model", "tools", "model_ids", "hosts", "groups")

    def clean_prompt(self) -> str:
        prompt: str = self.cleaned_data["prompt"]
        if found := placeholders.step_reference(prompt):
            raise forms.ValidationError(placeholders.prompt_message(found))
        return prompt


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change is an audit event with the object before and after it. Django commits both together."""

    noun: ClassVar[str]
    """In the audit trail."""

    def described(self, obj: Any) -> dict[str, Any]:
        """What the audit trail keeps of an object."""
        raise NotImplementedError

    def changes(self, before: dict[str, Any] | None, after: dict[str, Any], form: Any) -> dict[str, Any]:
        return {"before": before, "after": after}

    def deletion(self, obj: Any) -> dict[str, Any]:
        return {"before": self.described(obj)}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = self.model._default_manager.filter(pk=obj.pk).first()
        request.audited_before = self.described(stored) if stored else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The groups of an object are stored here, after the object."""
        super().save_related(request, form, formsets, change)
        before, after = request.audited_before, self.described(form.instance)  # type: ignore[attr-defined]
        action = f"{self.noun}.{'changed' if change else 'added'}"
        record(request.user, action, f"{self.noun}:{form.instance.pk}", self.changes(before, after, form))

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        record(request.user, f"{self.noun}.deleted", f"{self.noun}:{obj.pk}", self.deletion(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


@admin.register(Mode)
class ModeAdmin(AuditedAdmin):
    form = ModeForm
    list_display = ("name", "default_model", "tools")
    filter_horizontal = ("groups",)
    noun = "mode"

    def get_readonly_fields(self, request: HttpRequest, obj: Mode | None = None) -> tuple[str, ...]:
        """The default mode keeps its name, because jobs that name no mode use it."""
        return ("name",) if obj is not None and obj.name == Mode.DEFAULT else ()

    def has_delete_permission(self, request: HttpRequest, obj: Mode | None = None) -> bool:
        is_default = obj is not None and obj.name == Mode.DEFAULT
        return not is_default and super().has_delete_permission(request, obj)

    def described(self, obj: Mode) -> dict[str, Any]:
        names = ("name", "prompt", "default_model", "tools", "model_ids", "hosts")
        return {name: getattr(obj, name) for name in names} | {"groups": _names(obj.groups)}

    def changes(self, before: dict[str, Any] | None, after: dict[str, Any], form: Any) -> dict[str, Any]:
        old = before or {}
        return {name: [old.get(name), value] for name, value in after.items() if old.get(name) != value}

    def deletion(self, obj: Mode) -> dict[str, Any]:
        return {"name": obj.name}

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Mode]) -> None:
        super().delete_queryset(request, queryset.exclude(name=Mode.DEFAULT))


@admin.register(SecretGrant)
class SecretGrantAdmin(AuditedAdmin):
    """Records each change as an audit event with the whole grant before and after it."""

    list_display = ("secret", "hosts", "places")
    filter_horizontal = ("modes", "groups")
    noun = "secret_grant"

    def described(self, obj: SecretGrant) -> dict[str, Any]:
        return {
            "secret": obj.secret,
            "hosts": obj.hosts,
            "places": obj.places,
            "modes": _names(obj.modes),
            "groups": _names(obj.groups),
        }


class OutsideWorkerForm(forms.ModelForm):  # type: ignore[type-arg]
    new_secret = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="whsec_ and random bytes in base64. It is not shown again. If you leave it empty, a new worker "
        "gets a random secret, which is shown once, and an existing worker keeps its secret.",
    )

    class Meta:
        model = OutsideWorker
        fields = ("name", "addresses", "groups")

    def clean_addresses(self) -> list[str]:
        addresses: list[str] = self.cleaned_data["addresses"]
        others = OutsideWorker.objects.filter(addresses__overlap=addresses).exclude(pk=self.instance.pk)
        if (other := others.first()) is not None:
            raise forms.ValidationError(f"The worker {other} has one of these addresses.")
        return addresses

    def clean_new_secret(self) -> str:
        secret: str = self.cleaned_data["new_secret"]
        if secret and (wrong := webhook_secret_error(secret)):
            raise forms.ValidationError(f"The secret {wrong}")
        return secret


@admin.register(OutsideWorker)
class OutsideWorkerAdmin(AuditedAdmin):
    """Records each change as an audit event with the worker before and after it, without its secret."""

    form = OutsideWorkerForm
    list_display = ("name", "addresses")
    filter_horizontal = ("groups",)
    noun = "outside_worker"

    def save_model(self, request: HttpRequest, obj: OutsideWorker, form: Any, change: bool) -> None:
        given = form.cleaned_data["new_secret"]
        # The form has no field for the secret, so a stored worker keeps its own.
        obj.secret = given or obj.secret or webhooks.new_secret()
        super().save_model(request, obj, form, change)
        if not change and not given:
            self.message_user(request, f"The secret of {obj}, shown once: {obj.secret}", messages.WARNING)

    def described(self, obj: OutsideWorker) -> dict[str, Any]:
        """Without its secret."""
        return {"name": obj.name, "addresses": obj.addresses, "groups": _names(obj.groups)}

    def changes(self, before: dict[str, Any] | None, after: dict[str, Any], form: Any) -> dict[str, Any]:
        is_new = before is None or bool(form.cleaned_data["new_secret"])
        return super().changes(before, after, form) | {"newSecret": is_new}


def _names(related: Any) -> list[str]:
    return sorted(related.values_list("name", flat=True))
