"""Django without the front gate: for tests, and for another server behind a proxy that buffers whole requests."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiworkstation.settings")
application = get_wsgi_application()
