"""The page on which users create and revoke their API tokens."""

from datetime import datetime, timedelta
from typing import cast

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from aiworkstation.access.api_tokens import issue, revoke
from aiworkstation.access.models import ApiToken, Scope, scopes_of
from aiworkstation.web.requests import Request

MAX_NAME = 100
LIFETIMES = {"7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year", "": "Never"}
DEFAULT_LIFETIME = "90"


class TokenForm(forms.Form):
    """A form without `scopes` gives all scopes of the user. The page's own form requires a choice."""

    name = forms.CharField(
        max_length=MAX_NAME,
        required=False,
        empty_value="token",
        error_messages={"max_length": "A name has at most %(limit_value)d characters. This one has %(show_value)d."},
    )
    expires = forms.ChoiceField(choices=LIFETIMES.items(), required=False)
    scopes = forms.MultipleChoiceField(error_messages={"required": "Select at least one scope."})

    def __init__(self, user: User, data: QueryDict | None = None) -> None:
        super().__init__(_with_scopes(user, data) if data is not None else None)
        may = set(scopes_of(user))
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [choice for choice in Scope.choices if choice[0] in may]

    @property
    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["expires"]
        return timezone.now() + timedelta(days=int(days)) if days else None


def _with_scopes(user: User, data: QueryDict) -> QueryDict:
    data = data.copy()
    given = data.getlist("scopes")
    data.setlist("name", [data.get("name", "").replace("\0", "")])
    data.setlist("scopes", [scope for scope in given if scope] if given else scopes_of(user))
    return data


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: Request) -> HttpResponse:
    """Lists the tokens. The answer to the form is no redirect, because only it contains the new token's text."""
    secret = ""
    form = TokenForm(request.user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        _, secret = issue(
            request.user,
            form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=form.expires_at,
        )
    for errors in form.errors.values():
        messages.error(request, " ".join(map(str, errors)))
    context = {
        "tokens": ApiToken.objects.filter(owner=request.user),
        "secret": secret,
        "scopes": [(*choice, choice[0] != Scope.ADMIN) for choice in form.fields["scopes"].choices],  # type: ignore[attr-defined]
        "lifetimes": LIFETIMES.items(),
        "default_lifetime": DEFAULT_LIFETIME,
    }
    return render(request, "access/tokens.html", context)


@login_required
@require_POST
def revoke_token(request: Request, id: int) -> HttpResponse:
    token = ApiToken.objects.filter(owner=request.user, pk=id).select_related("owner").first()
    if token is None:
        messages.warning(request, "The API token was revoked before.")
    else:
        revoke(request.user, token)
        messages.success(request, f"The API token {token.name} is revoked.")
    return redirect("access:tokens")
