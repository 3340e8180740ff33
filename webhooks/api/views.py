"""The API of webhooks."""

from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.conditional import conditional
from aiworkstation.web.paging import PageQuery, page
from aiworkstation.web.requests import READING
from aiworkstation.web.serializers import NoParameters, read_body, read_optional_body, read_query
from webhooks import manage, signing
from webhooks.lookup import NEWEST_FIRST, get_delivery, get_webhook, list_deliveries, list_webhooks
from webhooks.models import Webhook
from webhooks.serializers import DeliverySerializer, NewWebhook, WebhookChanges, WebhookSerializer, WebhooksQuery


@api_view([*READING, "POST"])
def webhooks(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        created = manage.create(_user(request), read_body(NewWebhook, request))
        return Response(_with_secret(created), status=HTTPStatus.CREATED)
    query = read_query(WebhooksQuery, request)
    rows = list_webhooks(request.user, query["owner"])
    found = page(rows, NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = WebhookSerializer(found.rows, many=True).data
    return conditional(request, {"webhooks": listed, "nextCursor": found.next_cursor})


@api_view([*READING, "PATCH", "DELETE"])
def webhook(request: Request, id: str) -> HttpResponseBase:
    found = get_webhook(request.user, id)
    read_query(NoParameters, request)
    if request.method == "DELETE":
        manage.delete(_user(request), found)
        return Response(status=HTTPStatus.NO_CONTENT)
    if request.method == "PATCH":
        found = manage.change(_user(request), found, read_body(WebhookChanges, request))
        return Response(WebhookSerializer(found).data)
    return conditional(request, WebhookSerializer(found).data)


@api_view(["POST"])
def test(request: Request, id: str) -> HttpResponseBase:
    found = get_webhook(request.user, id)
    read_optional_body(NoParameters, request)
    return _accepted(found, str(manage.send_test(_user(request), found).pk))


@api_view(["POST"])
def rotate_secret(request: Request, id: str) -> HttpResponseBase:
    found = get_webhook(request.user, id)
    read_optional_body(NoParameters, request)
    return Response(_with_secret(manage.rotate_secret(_user(request), found)))


@api_view(READING)
def deliveries(request: Request, id: str) -> HttpResponseBase:
    found = get_webhook(request.user, id)
    query = read_query(PageQuery, request)
    rows = page(list_deliveries(found), NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = DeliverySerializer(rows.rows, many=True).data
    return conditional(request, {"deliveries": listed, "nextCursor": rows.next_cursor})


@api_view(["POST"])
def resend(request: Request, id: str, delivery_id: str) -> HttpResponseBase:
    found = get_webhook(request.user, id)
    delivery = get_delivery(found, delivery_id)
    read_optional_body(NoParameters, request)
    manage.resend(_user(request), delivery)
    return _accepted(found, delivery_id)


def _user(request: Request) -> User:
    return cast(User, request.user)


def _with_secret(webhook: Webhook) -> dict[str, Any]:
    return {**WebhookSerializer(webhook).data, "secret": signing.secret_of(webhook)}


def _accepted(webhook: Webhook, delivery_id: str) -> Response:
    body = DeliverySerializer(get_delivery(webhook, delivery_id)).data
    return Response(body, status=HTTPStatus.ACCEPTED)
