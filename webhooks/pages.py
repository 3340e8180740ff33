"""The pages of webhooks. They show a new secret in the answer to a form, because it is not shown again."""

from collections.abc import Callable
from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework import exceptions

from aiworkstation.web.errors import Conflict
from aiworkstation.web.paging import page
from aiworkstation.web.requests import Request
from documents.labels import MAX_PROJECT_ID, MAX_TAG
from webhooks import manage, signing
from webhooks.lookup import NEWEST_FIRST, get_delivery, get_webhook, list_deliveries, list_webhooks
from webhooks.models import OWN_TYPES, Webhook
from webhooks.serializers import MAX_URL, UrlField


class WebhookForm(forms.Form):
    """A form without `types` selects those about the owner's jobs and documents."""

    def __init__(self, user: User, data: QueryDict | None = None) -> None:
        super().__init__(data)
        self.offered = manage.offered_types(user)
        cast(forms.MultipleChoiceField, self.fields["types"]).choices = self.offered

    url = forms.CharField(max_length=MAX_URL, label="URL", error_messages={"required": "Enter the URL."})
    project_id = forms.CharField(max_length=MAX_PROJECT_ID, required=False, label="Project")
    tag = forms.CharField(max_length=MAX_TAG, required=False, label="Tag")
    types = forms.MultipleChoiceField(error_messages={"required": "Select at least one event."})

    def clean_url(self) -> str:
        try:
            return UrlField().to_internal_value(self.cleaned_data["url"])
        except exceptions.ValidationError as error:
            raise ValidationError([str(each) for each in error.detail]) from error

    @property
    def selected(self) -> list[str]:
        return list(self["types"].value() or []) if self.is_bound else list(OWN_TYPES)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def webhooks(request: Request) -> HttpResponse:
    form = WebhookForm(request.user, request.POST if request.method == "POST" else None)
    created: Webhook | None = None
    if form.is_valid():
        try:
            created = manage.create(request.user, form.cleaned_data)
        except Conflict as error:
            messages.error(request, str(error.detail))
        else:
            form = WebhookForm(request.user)
    context = {
        "webhooks": list_webhooks(request.user),
        "form": form,
        "types": form.offered,
        "secret": signing.secret_of(created) if created else "",
        "created": created,
    }
    return render(request, "webhooks/list.html", context, status=400 if form.errors else 200)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def webhook(request: Request, id: str) -> HttpResponse:
    """A POST rotates the secret."""
    found = get_webhook(request.user, id)
    secret = ""
    if request.method == "POST":
        found = manage.rotate_secret(request.user, found)
        secret = signing.secret_of(found)
    try:
        rows = page(list_deliveries(found), NEWEST_FIRST, cursor=request.GET.get("cursor", ""))
    except exceptions.ValidationError:
        return redirect("webhooks:webhook", found.pk)
    context = {"webhook": found, "deliveries": rows.rows, "older": rows.next_cursor, "secret": secret}
    return render(request, "webhooks/webhook.html", context)


def _test(request: Request, found: Webhook) -> None:
    manage.send_test(request.user, found)
    messages.success(request, "A test is on its way. Reload the page to see the response.")


def _pause(request: Request, found: Webhook) -> None:
    manage.change(request.user, found, {"is_paused": True})
    messages.success(request, "The webhook is paused. It gets no messages until you resume it.")


def _resume(request: Request, found: Webhook) -> None:
    manage.change(request.user, found, {"is_paused": False})
    messages.success(request, "The webhook is resumed.")


def _delete(request: Request, found: Webhook) -> None:
    manage.delete(request.user, found)
    messages.success(request, f"The webhook to {found.host} is deleted.")


ACTIONS: dict[str, Callable[[Request, Webhook], None]] = {
    "test": _test,
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
}


@login_required
@require_POST
def act(request: Request, id: str, action: str) -> HttpResponse:
    if action not in ACTIONS:
        raise Http404("There is no such action.")
    found = get_webhook(request.user, id)
    ACTIONS[action](request, found)
    return redirect("webhooks:list") if action == "delete" else redirect("webhooks:webhook", id)


@login_required
@require_POST
def resend(request: Request, id: str, delivery_id: str) -> HttpResponse:
    delivery = get_delivery(get_webhook(request.user, id), delivery_id)
    try:
        manage.resend(request.user, delivery)
    except Conflict as error:
        messages.warning(request, str(error.detail))
    else:
        messages.success(request, "The message is on its way again.")
    return redirect("webhooks:webhook", id)
