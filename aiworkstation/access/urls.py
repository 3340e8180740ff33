"""Addresses of a user's settings."""

from django.urls import path

from aiworkstation.access import password_page, tokens_page

app_name = "access"
urlpatterns = [
    path("settings/password", password_page.password, name="password"),
    path("settings/tokens", tokens_page.tokens, name="tokens"),
    path("settings/tokens/<int:id>/revoke", tokens_page.revoke_token, name="revoke_token"),
]
