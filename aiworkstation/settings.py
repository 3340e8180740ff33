"""Django's settings: the composition root, above every app. Values come from `ops.config`."""

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import psycopg.conninfo
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from aiworkstation import BASE_DIR, VERSION, api_scopes
from aiworkstation.ops import config, mail_server, postgres, secret_key

try:
    CONFIG = config.load()
except config.ConfigError as error:
    raise ImproperlyConfigured(str(error)) from error

DEBUG = CONFIG.debug
SECRET_KEY = CONFIG.secret_key or secret_key.read(CONFIG.data_dir)
if reason := config.weakness(SECRET_KEY):
    raise ImproperlyConfigured(f"SECRET_KEY: {reason}")
ALLOWED_HOSTS = [*CONFIG.allowed_hosts, *CONFIG.own_hosts]

INSTALLED_APPS = [
    "alerts",
    "webhooks",
    "mail",
    "jobs",
    "documents",
    "workflows",
    "aiworkstation.ops",
    "aiworkstation.web",
    "aiworkstation.access",
    "aiworkstation.audit",
    *CONFIG.extra_apps,
    *(["django_tasks"] if django.VERSION < (6,) else []),
    "django_q",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "aiworkstation.web.middleware.StorablePath",
    "aiworkstation.web.request_id.RequestId",
    *(["aiworkstation.web.request_trace.RequestTrace"] if CONFIG.otel_exporter_otlp_endpoint else []),
    "aiworkstation.web.middleware.CrossOrigin",
    "aiworkstation.audit.origin.RequestOrigin",
    "aiworkstation.audit.refused_requests.RefusedRequests",
    "django.middleware.security.SecurityMiddleware",
    "aiworkstation.web.middleware.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "aiworkstation.web.middleware.PrivateAnswers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "aiworkstation.web.middleware.ApiSlash",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "aiworkstation.access.idle_sessions.IdleSessions",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "aiworkstation.web.middleware.HtmxSignIn",
]
ROOT_URLCONF = "aiworkstation.urls"
WSGI_APPLICATION = "aiworkstation.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aiworkstation.web.theme.theme_context",
            ],
        },
    }
]


# libpq's settings: a server that is gone without closing its connections is noticed within 20 seconds. By default the
# kernel takes many minutes. They do nothing on a Unix socket.
TCP_PATIENCE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def database(url: str) -> dict[str, Any]:
    """A `postgresql://` address as Django's DATABASES entry."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    entry = {django: str(parts.pop(libpq, "") or "") for libpq, django in names.items()}
    return {
        "ENGINE": "aiworkstation.ops.database",
        **entry,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**TCP_PATIENCE, **parts},
        # Statements here are short: compiling them (jit) takes longer than running them.
        "SESSION": {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "60s", "jit": "off"},
    }


DATABASES = {"default": database(CONFIG.database_url or postgres.dsn(CONFIG.data_dir))}


def MIGRATION_DATABASE() -> dict[str, Any]:
    """Returns what `migrate` changes in DATABASES, to log in with a role of its own. Empty: the application's role.

    A function, so that only `migrate` has the password.
    """
    if CONFIG.migrate_database_url:
        return database(CONFIG.migrate_database_url)
    return {} if CONFIG.database_url else migrator(CONFIG.data_dir)


def migrator(data_dir: Path) -> dict[str, Any]:
    return {"USER": postgres.MIGRATOR, "PASSWORD": postgres.password(data_dir, postgres.MIGRATOR)}


AUDIT_OWNER = postgres.AUDIT_OWNER
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# django-q2 warns about a configuration without a time limit. We need none, because leases run out.
warnings.filterwarnings("ignore", message="Retry and timeout are misconfigured")

# `name` salts the signatures and is the default queue of plain tasks. A stock cluster serves one priority, its plain
# tasks and its jobs: `Q_CLUSTER_NAME=low manage.py qcluster`. Time limits are the engine's.
Q_CLUSTER: dict[str, Any] = {
    "name": "normal",
    "orm": "default",
    "broker_class": "workflows.django_q.broker.Broker",
    "ALT_CLUSTERS": {"high": {}, "low": {}},
    "timeout": None,
    "retry": 3600,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": 1000,
    "label": "Background tasks",
}

# Django's task framework, for the apps of EXTRA_APPS.
TASKS: dict[str, Any] = {"default": {"BACKEND": "workflows.django_tasks.Backend"}}

# Links from lower packages to higher ones. This module is above all packages, so it may name both ends.
ABSOLUTE_URL_OVERRIDES = {"workflows.workflowexecution": lambda job: reverse("jobs:job", args=[job.pk])}
CALLBACK_PREFIX = "/api/workflow/update-"
"""The addresses at which outside workers report."""
CALLBACK_PATH = f"{CALLBACK_PREFIX}step"
API_SCOPES = api_scopes.API_SCOPES
STORED_BYTES = [
    "SELECT sum(file_size + text_size) FROM documents WHERE owner_id = %(owner)s",
    "SELECT sum(size) FROM workflow_large_json WHERE owner_id = %(owner)s",
]
"""What counts against USER_QUOTA_MB: each statement returns how many bytes an owner stores."""
MAINTENANCE_DUTIES = ["webhooks.outbox.Outbox", "mail.questions.Questions"]
"""Maintenance calls the method `do` of these classes every second, on one machine at a time."""
SIDE_DUTIES = ["mail.postman.Postman", "alerts.watch.Watch"]
"""Duties that may take long, or notice that others are dead: see `workflows.worker.side_duties`."""
UNLISTED_JOB_TYPES = {"webhook-delivery"}
"""Jobs of these types are in lists only if the filter `type` names them, and cause no webhooks."""
WORKER_MODEL = "workflows.Worker"
FIRST_START_COMMAND = "submit_samples"

# The only functions that schedules start. Code may start any other with `async_task`.
SCHEDULED_FUNCTIONS = {
    "workflows.engine.retention.prune_daily",
    "documents.search.catch_up",
    "jobs.schedules.fire",
    "documents.storage.orphaned_files.sweep_daily",
    *CONFIG.scheduled_functions,
}

# The function that a stock cluster calls for a job's message.
JOB_TASK = "workflows.worker.stock_cluster.run_execution"

# Modules that the sandbox imports, without Django, so that they register the parsers of EXTRA_APPS.
CHILD_MODULES = [f"{app}.parsers" for app in CONFIG.extra_apps if find_spec(f"{app}.parsers")]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = CONFIG.data_dir / "static"
STATIC_STORAGE = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if DEBUG
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": STATIC_STORAGE},
}
MEDIA_ROOT = CONFIG.data_dir / "uploads"
LOGIN_URL = "login"
AUTHENTICATION_BACKENDS = ["aiworkstation.access.sign_in.LimitedBackend"]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "jobs:list"
LOGOUT_REDIRECT_URL = "landing"

if CONFIG.email_url:
    mail = mail_server.parse(CONFIG.email_url)
    EMAIL_BACKEND = mail.backend
    EMAIL_HOST, EMAIL_PORT = mail.host, mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = mail.user, mail.password
    EMAIL_USE_TLS, EMAIL_USE_SSL = mail.security == "starttls", mail.security == "tls"
    EMAIL_TIMEOUT = mail.timeout
    EMAIL_FILE_PATH = mail.file_path or None
    DEFAULT_FROM_EMAIL = SERVER_EMAIL = mail_server.sender_at(mail, CONFIG.own_hosts[-1])

X_FRAME_OPTIONS = "DENY"
# With an https APP_URL a proxy in front speaks TLS. It must set this header itself, so that clients cannot forge it.
IS_HTTPS = CONFIG.public_url.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
# Probes and Prometheus call the server itself, behind the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health/(live|ready)$", r"^metrics$"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_HTTPS else 0
# Whether HSTS covers subdomains and preloading is the domain owner's decision.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024  # for JSON bodies; uploaded files have limits of their own
DATA_UPLOAD_MAX_NUMBER_FIELDS = 6000  # the form of a workflow with 50 steps, each of which waits for all others
# Django's own limit. documents.storage.multipart applies MAX_UPLOAD_FILES, which is smaller.
DATA_UPLOAD_MAX_NUMBER_FILES = 20_000
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "aiworkstation.access.authentication.BearerAuthentication",
        "aiworkstation.access.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "aiworkstation.access.scopes.HasScope",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["aiworkstation.access.throttling.RateThrottle"],
    "DEFAULT_PARSER_CLASSES": ["aiworkstation.web.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "aiworkstation.web.negotiation.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "aiworkstation.web.openapi.ApiSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "NON_FIELD_ERRORS_KEY": "nonFieldErrors",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "AI Workstation",
    "DESCRIPTION": "Durable background jobs for AI work. Errors have one shape, and every answer has `X-Request-Id`.",
    "VERSION": VERSION,
    "SCHEMA_PATH_PREFIX": "/api",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["aiworkstation.web.openapi.without_unknown_paths"],
    "POSTPROCESSING_HOOKS": ["aiworkstation.web.openapi.with_wire_names"],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "apiToken": {"type": "http", "scheme": "bearer", "description": "An API token."},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A browser session."},
            "signature": {
                "type": "apiKey",
                "in": "header",
                "name": "webhook-signature",
                "description": "A signature as Standard Webhooks describes it.",
            },
        }
    },
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "aiworkstation.web.errors.ApiErrorHandler",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "aiworkstation.log_format.LogContext"}},
    "formatters": {
        "line": {"()": "aiworkstation.log_format.LineFormatter"},
        "json": {"()": "aiworkstation.log_format.JsonFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": CONFIG.log_format, "filters": ["context"]},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"httpx2": {"level": "WARNING"}},  # it writes a line for every request to the model
}
TESTING = "pytest" in sys.modules
