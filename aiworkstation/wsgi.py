"""The application that the web server runs."""

import os

from django.core.wsgi import get_wsgi_application

from aiworkstation.web.chunked_requests import ChunkedRequests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiworkstation.settings")
application = ChunkedRequests(get_wsgi_application())
