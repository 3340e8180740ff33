"""The application that the web server runs."""

import os

from django.core.wsgi import get_wsgi_application

from aiworkstation.web.chunked_requests import ChunkedRequests
from aiworkstation.web.unread_bodies import UnreadBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiworkstation.settings")
application = UnreadBodies(ChunkedRequests(get_wsgi_application()))
