"""Every address of the site. Those of the API have no slash at the end: `ApiSlash` takes it off."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from aiworkstation.web import errors

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("jobs.urls")),
    re_path(r"^api(/.*)?$", errors.not_found),
]
handler400 = errors.bad_request
handler500 = errors.server_error
