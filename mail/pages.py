"""The page of a mailed link. A GET shows the question, because programs that check mails follow links. A POST answers.

The key is the only credential: there is no session, so the form needs no protection against forged requests.
"""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException

from aiworkstation import strict_json
from aiworkstation.web.errors import Conflict
from jobs.approvals import Decision, answer_step
from jobs.display import describe_steps
from jobs.pages.approvals import MAX_ARGUMENTS, read_answer
from mail.links import Invitation, read_key

DECISIONS: dict[str, Decision] = {"approved": "approved", "rejected": "rejected"}


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    key = given.get("key", "")
    invitation = read_key(key)
    if invitation is None:
        response = render(request, "mail/no_question.html", status=HTTPStatus.NOT_FOUND)
    elif request.method == "POST":
        response = _answer(request, invitation, key)
    else:
        response = _show(request, invitation, key)
    # The address has the key.
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _answer(request: HttpRequest, invitation: Invitation, key: str) -> HttpResponse:
    decision = DECISIONS.get(request.POST.get("decision", ""))
    if decision is None:
        return _show(request, invitation, key, ["Press one of the two buttons."])
    try:
        answer_step(invitation.step, invitation.user, decision, read_answer(request, invitation.step, decision))
    except strict_json.BadJson as error:
        return _show(request, invitation, key, [f"The arguments are not valid JSON: {error}"])
    except Conflict:  # another answer came first
        return render(request, "mail/no_question.html", status=HTTPStatus.CONFLICT)
    except APIException as error:
        lines = [f"{line.attr}: {line.detail}" if line.attr else line.detail for line in flatten_errors(error.detail)]
        return _show(request, invitation, key, lines)
    return render(request, "mail/answered.html", {"decision": decision, **_context(invitation)})


def _show(request: HttpRequest, invitation: Invitation, key: str, errors: list[str] | None = None) -> HttpResponse:
    context = {"key": key, "errors": errors, "given": request.POST, **_context(invitation)}
    return render(request, "mail/question.html", context, status=HTTPStatus.BAD_REQUEST if errors else HTTPStatus.OK)


def _context(invitation: Invitation) -> dict[str, object]:
    (step,) = describe_steps([invitation.step], max_arguments=MAX_ARGUMENTS)
    return {"step": step, "job": invitation.step.execution, "as_user": invitation.user}
