"""Every address of the site. Those of the API have no slash at the end: `ApiSlash` takes it off."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path, re_path

from aiworkstation.web import errors, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.landing, name="landing"),
    path("favicon.ico", views.favicon),
    path("login", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("aiworkstation.access.page_urls")),
    path("", include("jobs.urls")),
    path("", include("documents.urls")),
    re_path(r"^api(?:/.*)?$", errors.not_found),
]
handler400 = errors.bad_request
handler500 = errors.server_error
