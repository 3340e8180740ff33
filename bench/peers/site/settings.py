import json
import os

from bench.run_environment import SOCKETS

SECRET_KEY = "bench"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_q", "django_tasks_db"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "bench_site",
        "USER": "aiworkstation",
        "HOST": str(SOCKETS),
        "CONN_MAX_AGE": json.loads(os.environ.get("BENCH_CONN_MAX_AGE", "0")),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
Q_CLUSTER = {"name": "bench", "workers": 2, "orm": "default", **json.loads(os.environ.get("BENCH_Q", "{}"))}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
