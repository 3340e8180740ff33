"""The page on which users change their own password."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from aiworkstation.access.api_tokens import revoke
from aiworkstation.access.models import ApiToken, SignInAttempts
from aiworkstation.access.sign_in import locked_error, name_key, spend_attempt
from aiworkstation.web.requests import Request


class OwnPasswordForm(PasswordChangeForm):
    """Guesses of the old password count like attempts to sign in: another person may use an unattended browser."""

    revoke_tokens = forms.BooleanField(required=False, label="Also revoke my API tokens")
    field_order = ("old_password", "new_password1", "new_password2", "revoke_tokens")

    def clean_old_password(self) -> Any:
        name = self.user.get_username()
        if not spend_attempt(name, None):
            raise locked_error()
        old: Any = super().clean_old_password()
        SignInAttempts.forget(name_key(name))
        return old


@sensitive_post_parameters()
@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def password(request: Request) -> HttpResponse:
    """Changes the password. Other sessions of the user end, because a session holds a hash of the password."""
    form = OwnPasswordForm(request.user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        # Together: a password that is changed after a theft must not leave the thief's tokens valid.
        with transaction.atomic():
            form.save()
            if form.cleaned_data["revoke_tokens"]:
                for token in ApiToken.objects.filter(owner=request.user).select_related("owner"):
                    revoke(request.user, token)
        update_session_auth_hash(request, request.user)
        messages.success(request, "Your password is changed. Your other sessions have ended.")
        return redirect("access:password")
    return render(request, "access/password.html", {"form": form}, status=400 if form.errors else 200)
