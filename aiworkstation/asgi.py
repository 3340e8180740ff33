"""The application that the web server runs: Django behind the front gate."""

from django.conf import settings

from aiworkstation.gate.front_gate import FrontGate
from aiworkstation.gate.routes import KILOBYTE, MEGABYTE, Route, route
from aiworkstation.wsgi import application as django
from workflows.worker.side_duties import start_side_duties

THREADS = 4
JSON_BODY = 10 * MEGABYTE
UPLOAD_LISTS: dict[str, list[str]] = {"documents": [], "rejected": []}
"""The additional keys of an error of `POST /api/documents` (see `documents.api.views.with_upload_lists`)."""
ROUTES: list[Route] = [
    route("/api/documents/?", MEGABYTE, takes_files=True, error_extras=UPLOAD_LISTS),
    route("/documents/upload|/jobs/new/upload", MEGABYTE, takes_files=True),
    route("/api/documents/[^/]*/preview/?|/documents/[^/]*/preview", MEGABYTE, is_expensive=True),
    route("/api/search/?|/search", MEGABYTE, is_expensive=True),
    route("/api/.*|/jobs/new/?|/mcp", JSON_BODY),
    route("/login|/logout|/settings/.*", 64 * KILOBYTE),
    route("(?s:.*)", MEGABYTE),
]
application = FrontGate(django, ROUTES, THREADS, settings.CONFIG.cors_origins, at_start=start_side_duties)
