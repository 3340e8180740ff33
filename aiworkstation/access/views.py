"""The page of API tokens."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from aiworkstation.access.models import ApiToken
from aiworkstation.access.tokens import issue, revoke
from aiworkstation.web.requests import Request


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: Request) -> HttpResponse:
    """A new token's text is in the answer to its form, and nowhere else: so that one is no redirect."""
    secret = ""
    if request.method == "POST":
        name = request.POST.get("name", "").strip().replace("\0", "")[:100]
        _, secret = issue(request.user, name or "token")
    own = ApiToken.objects.filter(owner=request.user)
    return render(request, "access/tokens.html", {"tokens": own, "secret": secret})


@login_required
@require_POST
def revoke_token(request: Request, id: int) -> HttpResponse:
    token = ApiToken.objects.filter(owner=request.user, pk=id).select_related("owner").first()
    if token is None:
        messages.warning(request, "That token was revoked before.")
    else:
        revoke(request.user, token)
        messages.success(request, f"The token {token.name} is revoked.")
    return redirect("access:tokens")
