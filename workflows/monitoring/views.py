"""`/health/live`, `/health/ready` and `/metrics`."""

import ipaddress
import logging
from hmac import compare_digest
from http import HTTPStatus

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from workflows.monitoring.metrics import registry
from workflows.monitoring.readiness import readiness

logger = logging.getLogger(__name__)

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Shows that this process answers. It checks nothing else, because a restart would fix nothing else."""
    return JsonResponse({"status": "alive"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    found = readiness()
    is_ready = found["status"] == "ready"
    return JsonResponse(found, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if refusal := _refusal(request):
        return refusal
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(registry()), content_type=content_type)
    except Error as error:
        logger.warning("metrics: %s", str(error).strip())
        return _plain("The database does not answer.\n", HTTPStatus.SERVICE_UNAVAILABLE)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    token = settings.CONFIG.metrics_token
    if not token:
        if is_from_this_machine(request):
            return None
        return _plain("Set METRICS_TOKEN to read this from another machine.\n", HTTPStatus.FORBIDDEN)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and compare_digest(given.strip().encode(), token.encode()):
        return None
    response = _plain("Send METRICS_TOKEN: `Authorization: Bearer <token>`.\n", HTTPStatus.UNAUTHORIZED)
    response.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return response


def is_from_this_machine(request: HttpRequest) -> bool:
    """Whether the connection comes from this machine, and not through a proxy on it.

    Nothing that the client sends can make this true: headers only show that there is a proxy.
    """
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _plain(text: str, status: HTTPStatus) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
