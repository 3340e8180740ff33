"""Every address of the site. Addresses of the API have no slash at the end: `ApiSlash` removes it.

The names without a namespace are for templates of packages below the one that has the view.
"""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path, re_path

from aiworkstation.access.sign_in import AdminSignInForm, SignInForm
from aiworkstation.web import errors, openapi, views
from aiworkstation.web.theme import theme
from jobs.pages import job_page, new_job
from mcp_server.views import McpView
from workflows.monitoring import views as monitoring

admin.site.login_form = AdminSignInForm
admin.site.site_header = admin.site.site_title = "AI Workstation"
admin.site.index_title = "Administration"
admin.site.site_url = "/jobs/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.landing, name="landing"),
    path("favicon.ico", views.favicon),
    path("settings/theme", theme, name="theme"),
    path("login", LoginView.as_view(redirect_authenticated_user=True, authentication_form=SignInForm), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("aiworkstation.access.urls")),
    path("", include("jobs.urls")),
    path("jobs/<uuid:id>", job_page.job, name="job"),
    path("jobs/new/ingest", new_job.ingest, name="index_documents"),
    path("jobs/new/upload", new_job.upload, name="upload_and_index"),
    path("", include("documents.urls")),
    path("health/live", monitoring.live, name="live"),
    path("health/ready", monitoring.ready, name="ready"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("api/openapi.json", openapi.openapi, name="openapi"),
    path("api/docs", openapi.viewer, name="api_docs"),
    path("", include("webhooks.urls")),
    path("", include("mail.urls")),
    path("mcp", McpView.as_view(), name="mcp"),
    re_path(r"^api(?:/.*)?$", errors.not_found),
]
handler400 = errors.bad_request
handler500 = errors.server_error
