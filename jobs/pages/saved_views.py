"""Saved views: the filters of the job list under a name, private or shared. And what to suggest for a filter."""

from dataclasses import dataclass
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from aiworkstation.access.lookup import get_visible
from aiworkstation.access.not_yours import NotYours
from aiworkstation.audit.record import record
from aiworkstation.web.form_fields import Line
from aiworkstation.web.requests import Request, posted_text, query_text
from jobs.models import SavedView
from jobs.pages.job_filter import JobFilter
from jobs.suggestions import FIELDS, suggest

MOST_OF_ONE_USER = 100
SHOWN = 50


@dataclass(frozen=True)
class ListedView:
    """A saved view with the address of the list that it shows."""

    id: UUID
    name: str
    url: str
    owner: str
    is_shared: bool
    is_shown: bool
    may_be_deleted: bool


class ViewForm(forms.Form):
    name = Line(label="Name of the view", max_length=80)
    is_shared = forms.BooleanField(label="Everybody may use it", required=False)


def listed_views(user: User, shown: JobFilter) -> list[ListedView]:
    """The user's own views, and those that others share, by name."""
    views = SavedView.objects.select_related("owner")
    # Others' shared views must not push a user's own ones out of the page.
    rows = [*views.filter(owner=user)[:MOST_OF_ONE_USER], *views.filter(is_shared=True).exclude(owner=user)[:SHOWN]]
    return [
        ListedView(
            id=row.pk,
            name=row.name,
            url=(found := _filter(user, row)).url(),
            owner="" if row.owner_id == user.pk else row.owner.get_username(),
            is_shared=row.is_shared,
            is_shown=found.chosen == shown.chosen,
            may_be_deleted=row.may_be_changed_by(user),
        )
        for row in rows
    ]


def _filter(user: User, view: SavedView) -> JobFilter:
    """A filter that no longer exists is ignored."""
    return JobFilter(user, **{name: text for name, text in view.filters.items() if name in JobFilter.names()})


@login_required
@require_POST
def save(request: Request) -> HttpResponse:
    """Keeps the filters of the list. The user's own view of this name is replaced."""
    filter = JobFilter.of_form(request)
    form = ViewForm(request.POST, prefix="view")
    wrong = filter.mistake() or "".join(f"{form[name].label}: {form.errors[name][0]}" for name in form.errors)
    others = SavedView.objects.filter(owner=request.user).exclude(name=posted_text(request, "view-name"))
    if not wrong and others.count() >= MOST_OF_ONE_USER:
        wrong = f"You have {MOST_OF_ONE_USER} views. Delete one first."
    if wrong:
        messages.error(request, wrong)
        return redirect(filter.url())
    with transaction.atomic():
        view, _ = SavedView.objects.update_or_create(
            owner=request.user,
            name=form.cleaned_data["name"],
            defaults={"filters": filter.chosen, "is_shared": form.cleaned_data["is_shared"]},
        )
        changes = {"name": view.name, "filters": view.filters, "isShared": view.is_shared}
        record(request.user, "view.saved", f"view:{view.pk}", changes)
    messages.success(request, f"Saved the view {view.name}.")
    return redirect(filter.url())


@login_required
@require_POST
def delete(request: Request, id: UUID) -> HttpResponse:
    view = get_visible(SavedView.objects.all(), request.user, id, "view")
    if not view.may_be_changed_by(request.user):
        raise NotYours(f"view:{view.pk}")
    with transaction.atomic():
        record(request.user, "view.deleted", f"view:{view.pk}", {"name": view.name})
        view.delete()
    messages.success(request, f"Deleted the view {view.name}.")
    return redirect("jobs:list")


@login_required
@require_GET
def suggestions(request: Request, field: str) -> HttpResponse:
    """The options of the list of suggestions for a filter."""
    if field not in FIELDS:
        raise Http404("There are no suggestions for this field.")
    values = suggest(request.user, field, query_text(request, field), query_text(request, "of"))
    return render(request, "jobs/_suggestions.html", {"values": values})
