"""The web server's way in."""

import os

from django.core.wsgi import get_wsgi_application

from aiworkstation.web.chunked_bodies import Chunked

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiworkstation.settings")
application = Chunked(get_wsgi_application())
