"""Read-only admin pages for django-q2's queue, schedules and results.

django-q2's own admin lets a user name a function and have a worker call it, or send a task again.
"""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django_q import admin as django_q_admin
from django_q.models import Failure, OrmQ, Schedule, Success

from aiworkstation.audit.admin import ReadOnly


class NoActions(ReadOnly):
    """Read-only, also for django-q2's action that sends a task again, whatever the user's permissions."""

    actions = None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}


class ScheduleAdmin(NoActions, django_q_admin.ScheduleAdmin):  # type: ignore[misc]
    pass


class SuccessAdmin(NoActions, django_q_admin.TaskAdmin):  # type: ignore[misc]
    pass


class FailureAdmin(NoActions, django_q_admin.FailAdmin):  # type: ignore[misc]
    pass


class QueueAdmin(NoActions, django_q_admin.QueueAdmin):  # type: ignore[misc]
    pass


ADMINS: "dict[type[Model], type[admin.ModelAdmin[Any]]]" = {
    Schedule: ScheduleAdmin,
    Success: SuccessAdmin,
    Failure: FailureAdmin,
    OrmQ: QueueAdmin,
}


def register() -> None:
    """Replaces django-q2's own admins, which it registers when the admin looks for `admin` modules."""
    for model, model_admin in ADMINS.items():
        if admin.site.is_registered(model):
            admin.site.unregister(model)
        admin.site.register(model, model_admin)
