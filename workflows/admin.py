"""Executions, workers and modes in the admin. Executions are changed only by the engine's verbs."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

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


@admin.register(Mode)
class ModeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change is an audit event with the values before and after it."""

    form = ModeForm
    list_display = ("name", "default_model", "tools")
    filter_horizontal = ("groups",)
    AUDITED: ClassVar = ("name", "prompt", "default_model", "tools", "model_ids", "hosts")

    def get_readonly_fields(self, request: HttpRequest, obj: Mode | None = None) -> tuple[str, ...]:
        """The default mode keeps its name, because jobs that name no mode use it."""
        return ("name",) if obj is not None and obj.name == Mode.DEFAULT else ()

    def has_delete_permission(self, request: HttpRequest, obj: Mode | None = None) -> bool:
        is_default = obj is not None and obj.name == Mode.DEFAULT
        return not is_default and super().has_delete_permission(request, obj)

    @transaction.atomic
    def changeform_view(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        return super().changeform_view(request, *arguments, **named)

    def save_model(self, request: HttpRequest, obj: Mode, form: Any, change: bool) -> None:
        request.mode_before = self._audited(Mode.objects.filter(pk=obj.pk).first())  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before, after = request.mode_before, self._audited(form.instance)  # type: ignore[attr-defined]
        changes = {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
        record(request.user, "mode.changed" if change else "mode.added", f"mode:{form.instance.pk}", changes)

    def _audited(self, mode: Mode | None) -> dict[str, Any]:
        if mode is None:
            return {}
        groups = sorted(mode.groups.values_list("name", flat=True))
        return {name: getattr(mode, name) for name in self.AUDITED} | {"groups": groups}

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Mode) -> None:
        record(request.user, "mode.deleted", f"mode:{obj.pk}", {"name": obj.name})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Mode]) -> None:
        for mode in queryset.exclude(name=Mode.DEFAULT):
            self.delete_model(request, mode)


@admin.register(SecretGrant)
class SecretGrantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change is an audit event with the whole grant before and after it."""

    list_display = ("secret", "hosts", "places")
    filter_horizontal = ("modes", "groups")

    @transaction.atomic
    def changeform_view(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        return super().changeform_view(request, *arguments, **named)

    def save_model(self, request: HttpRequest, obj: SecretGrant, form: Any, change: bool) -> None:
        request.grant_before = _grant_json(SecretGrant.objects.filter(pk=obj.pk).first())  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        changes = {"before": request.grant_before, "after": _grant_json(form.instance)}  # type: ignore[attr-defined]
        action = "secret_grant.changed" if change else "secret_grant.added"
        record(request.user, action, f"secret_grant:{form.instance.pk}", changes)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: SecretGrant) -> None:
        record(request.user, "secret_grant.deleted", f"secret_grant:{obj.pk}", {"before": _grant_json(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SecretGrant]) -> None:
        for grant in queryset:
            self.delete_model(request, grant)


def _grant_json(grant: SecretGrant | None) -> dict[str, Any] | None:
    if grant is None:
        return None
    return {
        "secret": grant.secret,
        "hosts": grant.hosts,
        "places": grant.places,
        "modes": [mode.name for mode in grant.modes.all()],
        "groups": [group.name for group in grant.groups.all()],
    }


class OutsideWorkerForm(forms.ModelForm):  # type: ignore[type-arg]
    new_secret = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="whsec_ and random bytes in base64. It is not shown again. Empty: a new worker gets a random one, "
        "which is shown once, and others keep theirs.",
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
class OutsideWorkerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change is an audit event with the worker before and after it, without its secret."""

    form = OutsideWorkerForm
    list_display = ("name", "addresses")
    filter_horizontal = ("groups",)

    @transaction.atomic
    def changeform_view(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        return super().changeform_view(request, *arguments, **named)

    def save_model(self, request: HttpRequest, obj: OutsideWorker, form: Any, change: bool) -> None:
        before = OutsideWorker.objects.filter(pk=obj.pk).first()
        request.worker_before = _worker_json(before)  # type: ignore[attr-defined]
        given = form.cleaned_data["new_secret"]
        obj.secret = given or (before.secret if before else webhooks.new_secret())
        super().save_model(request, obj, form, change)
        if not change and not given:
            self.message_user(request, f"The secret of {obj}, shown once: {obj.secret}", messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before = request.worker_before  # type: ignore[attr-defined]
        changes = {"before": before, "after": _worker_json(form.instance)}
        changes["newSecret"] = not change or bool(form.cleaned_data["new_secret"])
        action = "outside_worker.changed" if change else "outside_worker.added"
        record(request.user, action, f"outside_worker:{form.instance.pk}", changes)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: OutsideWorker) -> None:
        record(request.user, "outside_worker.deleted", f"outside_worker:{obj.pk}", {"before": _worker_json(obj)})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OutsideWorker]) -> None:
        for worker in queryset:
            self.delete_model(request, worker)


def _worker_json(worker: OutsideWorker | None) -> dict[str, Any] | None:
    if worker is None:
        return None
    groups = [group.name for group in worker.groups.all()]
    return {"name": worker.name, "addresses": worker.addresses, "groups": groups}
