"""Addresses of a user's settings."""

from django.urls import path

from aiworkstation.access import views

app_name = "access"
urlpatterns = [
    path("settings/tokens", views.tokens, name="tokens"),
    path("settings/tokens/<int:id>/revoke", views.revoke_token, name="revoke_token"),
]
