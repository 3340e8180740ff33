"""The page on which users create and revoke their API tokens."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from aiworkstation.access.api_tokens import issue, revoke
from aiworkstation.access.models import ApiToken
from aiworkstation.web.requests import Request

MAX_NAME = 100


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: Request) -> HttpResponse:
    """Lists the tokens. The answer to the form is no redirect, because only it contains the new token's text."""
    secret = ""
    if request.method == "POST":
        name = request.POST.get("name", "").strip().replace("\0", "")
        if len(name) > MAX_NAME:
            messages.error(request, f"A name has at most {MAX_NAME} characters. This one has {len(name)}.")
        else:
            _, secret = issue(request.user, name or "token")
    own = ApiToken.objects.filter(owner=request.user)
    return render(request, "access/tokens.html", {"tokens": own, "secret": secret})


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
