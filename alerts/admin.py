"""Rules and alerts in the admin. Changes of rules are audit events."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from aiworkstation.audit.admin import ReadOnly
from alerts import episodes
from alerts.models import Alert, AlertRule
from workflows.admin import AuditedAdmin


@admin.register(AlertRule)
class AlertRuleAdmin(AuditedAdmin):
    list_display = ("name", "kind", "job_type", "limit", "addresses", "sends_mail", "sends_webhooks", "is_muted")
    list_filter = ("kind", "is_muted")
    noun = "alert_rule"

    def described(self, obj: AlertRule) -> dict[str, Any]:
        names = [field.name for field in AlertRule._meta.concrete_fields if field.name not in ("id", "created_at")]
        return {name: getattr(obj, name) for name in names}


@admin.register(Alert)
class AlertAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("summary", "started_at", "resolved_at", "rule_name", "outcome", "addresses", "to_webhooks")
    list_filter = ("kind", ("resolved_at", admin.EmptyFieldListFilter), "started_at")
    search_fields = ("summary", "subject", "rule_name")
    actions = ("resolve",)
    show_full_result_count = False

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("alerts.change_alert"))

    @admin.action(description="End the selected alerts", permissions=["resolve"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        outcome = f"{request.user.get_username()} ended it."
        done = sum(episodes.resolve(alert, outcome, actor=request.user) for alert in queryset)
        self.message_user(request, f"{done} alerts ended. The others had ended already.", messages.SUCCESS)
