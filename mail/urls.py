"""The address in mailed links. It is short: some programs break long lines."""

from django.urls import path

from mail import pages

app_name = "mail"
urlpatterns = [path("answer", pages.answer, name="answer")]
