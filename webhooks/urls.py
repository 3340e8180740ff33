"""Addresses of webhooks: the pages, and the API without a slash at the end."""

from django.urls import path

from webhooks import pages
from webhooks.api import views as api

app_name = "webhooks"
urlpatterns = [
    path("webhooks", pages.webhooks, name="list"),
    path("webhooks/<str:id>", pages.webhook, name="webhook"),
    path("webhooks/<str:id>/<str:action>", pages.act, name="act"),
    path("webhooks/<str:id>/deliveries/<str:delivery_id>/resend", pages.resend, name="resend"),
    path("api/webhooks", api.webhooks, name="api_webhooks"),
    path("api/webhooks/<str:id>", api.webhook, name="api_webhook"),
    path("api/webhooks/<str:id>/test", api.test, name="api_test"),
    path("api/webhooks/<str:id>/rotate-secret", api.rotate_secret, name="api_rotate_secret"),
    path("api/webhooks/<str:id>/deliveries", api.deliveries, name="api_deliveries"),
    path("api/webhooks/<str:id>/deliveries/<str:delivery_id>/resend", api.resend, name="api_resend"),
]
