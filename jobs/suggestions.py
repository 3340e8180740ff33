"""Values to suggest for a filter of the job list while a user types: those of the newest jobs that the user may see."""

from django.contrib.auth.models import User

from aiworkstation.access.lookup import owned_by
from workflows.models import WorkflowExecution

COLUMNS = {"project": "project_id", "mode": "mode", "tag": "tags"}
FIELDS = (*COLUMNS, "owner")
READ = 2000
"""The newest jobs that are read, however many there are."""
MOST = 20


def suggest(user: User, field: str, text: str, owner: str = "") -> list[str]:
    """Returns up to MOST values of one of FIELDS that contain the text, sorted.

    `owner` is that of the list, as in `owned_by`. Only staff get the names of users.
    """
    if field == "owner":
        return _names_of_users(text) if user.is_staff else []
    newest = owned_by(WorkflowExecution.objects.all(), user, owner).order_by("-created_at", "-pk")
    rows = newest.values_list(COLUMNS[field], flat=True)[:READ]
    values = {value for row in rows for value in (row if isinstance(row, list) else [row])}
    return sorted(value for value in values if value and text.casefold() in value.casefold())[:MOST]


def _names_of_users(text: str) -> list[str]:
    names = User.objects.filter(username__icontains=text).order_by("username")
    return list(names.values_list("username", flat=True)[:MOST])
