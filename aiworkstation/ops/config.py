"""The application's settings, read once from the environment or `.env`.

If values are wrong, the start ends with one message that lists each setting and what is wrong with it.
"""

import base64
import ipaddress
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aiworkstation import BASE_DIR
from aiworkstation.ops import mail_server
from aiworkstation.ops.origins import browser_origin

# With an empty ENV_FILE no file is read.
ENV_FILE = os.environ.get("ENV_FILE", str(BASE_DIR / ".env")) or None
MIN_SECRET_BYTES = 16
SECRET_SETTINGS = (
    "callback_secret",
    "email_url",
    "hubspot_access_token",
    "metrics_token",
    "openai_api_key",
    "otel_exporter_otlp_headers",
    "secret_key",
    "sentry_dsn",
)
"""Settings whose values no message shows."""
MIN_KEY_LENGTH, MIN_KEY_CHARACTERS = 50, 5  # those of Django's `check --deploy`
MIN_TOKEN_LENGTH = 16
MAX_DAYS = 36_500
DAY_SECONDS = 24 * 3600
MAX_MEMORY_MB = 1 << 20
OWN_APPS = ("aiworkstation", "alerts", "documents", "jobs", "mail", "mcp_server", "webhooks", "workflows")
_PORT = re.compile(r":[^/]*")
_PLAIN = {
    "bool_parsing": "write true or false",
    "int_parsing": "write a whole number",
    "float_parsing": "write a number",
    "literal_error": "write line or json",
}
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+=[\x20-\x7e]*")
_DSN = re.compile(r"https?://[A-Za-z0-9]+(:[A-Za-z0-9]+)?@[^/?#]+(/[^/?#]+)*/[0-9]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")


class ConfigError(Exception):
    """A setting has a value that cannot be used."""


def _split_at_commas(value: object) -> object:
    """Makes `a, b` a list: `["a", "b"]`."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _split_pairs(value: object) -> object:
    """Makes `a=b, c=d` a dict: `{"a": "b", "c": "d"}`."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all("=" in part for part in parts):
        raise ValueError("write it as name=model, separated by commas")
    pairs = [(name.strip(), target.strip()) for name, target in (part.split("=", 1) for part in parts)]
    if not all(name and target for name, target in pairs):
        raise ValueError("write it as name=model, separated by commas")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name is in it twice")
    return dict(pairs)


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split_at_commas)]
CommaPairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_split_pairs)]


class Config(BaseSettings):
    """All settings, with their types and defaults. The documentation lists them in the same order."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, extra="ignore", env_ignore_empty=True, case_sensitive=False)

    port: int = Field(default=8000, ge=1, le=65535)
    host: str = "127.0.0.1"
    app_url: str = ""
    debug: bool = False
    allowed_hosts: CommaList = []

    database_url: str = ""
    listen_database_url: str = ""
    migrate_database_url: str = ""
    data_dir: Path = BASE_DIR / "var"
    secret_key: str = ""

    workers: int = Field(default=0, ge=0, le=64, description="0: chosen for the machine")
    lease_seconds: float = Field(default=30, ge=1, le=3600)
    stop_grace: float = Field(default=20, ge=0, le=3600)

    retention_days: int = Field(
        default=90, ge=0, le=MAX_DAYS, description="days after which finished jobs are deleted; 0: never"
    )

    children: int = Field(
        default=0, ge=0, le=64, description="documents that a runner reads at once; 0: chosen for the machine"
    )
    child_memory_mb: int = Field(
        default=768, ge=256, le=MAX_MEMORY_MB, description="memory of a child that reads a document"
    )
    child_seconds: float = Field(default=120, ge=1, le=DAY_SECONDS, description="seconds that such a child may take")
    ocr_memory_mb: int = Field(
        default=2048, ge=1024, le=MAX_MEMORY_MB, description="memory of a child that recognizes text"
    )
    ocr_seconds: float = Field(
        default=600, ge=10, le=DAY_SECONDS, description="seconds that such a child may take for one document"
    )
    ocr_pages: int = Field(default=100, ge=0, le=1_000_000, description="pages recognized in one document; 0: none")

    openai_api_key: str = ""
    openai_base_url: str = ""
    default_model: str = ""
    model_aliases: CommaPairs = {}
    embedding_model: str = ""

    hubspot_access_token: str = ""
    hubspot_base_url: str = "https://api.hubapi.com"
    http_allowed_private_hosts: CommaList = []
    model_allowed_hosts: CommaList = Field(default=[], description="hosts to which models may send what they choose")
    callback_secret: str = ""
    extra_apps: CommaList = []
    scheduled_functions: CommaList = Field(default=[], description="more functions that schedules may call")
    trusted_proxies: CommaList = Field(default=[], description="networks whose X-Forwarded-For counts")
    audit_head_file: str = Field(default="", description="file to which the head of the audit chain is appended")
    max_upload_mb: int = Field(default=100, ge=1, le=1_000_000, description="largest size of one document")
    max_upload_files: int = Field(default=200, ge=1, le=10_000, description="documents in one request")
    max_upload_total_mb: int = Field(default=512, ge=1, le=1_000_000, description="size of one request's documents")
    user_quota_mb: int = Field(default=10240, ge=1, le=1_000_000_000, description="size of all that one user stores")
    sign_in_attempts: int = Field(default=10, ge=0, le=1_000_000, description="failed attempts for a name; 0: no limit")
    sign_in_lock_minutes: int = Field(default=15, ge=1, le=100_000, description="minutes to wait after them")
    session_idle_minutes: int = Field(
        default=480, ge=0, le=1_000_000, description="minutes after which a session ends; 0: never"
    )
    api_rate: int = Field(default=0, ge=0, le=1_000_000, description="requests a minute; 0: no limit")
    cors_origins: CommaList = Field(default=[], description="origins whose pages may call the API")
    embed_origins: CommaList = Field(default=[], description="origins whose pages may frame /jobs/embed")
    metrics_token: str = Field(default="", description="token to read /metrics; empty: only this machine")
    log_format: Literal["line", "json"] = "line"
    otel_exporter_otlp_endpoint: str = Field(default="", description="collector of OpenTelemetry that gets traces")
    otel_exporter_otlp_headers: str = Field(default="", description="headers for it: name=value, separated by commas")
    sentry_dsn: str = Field(default="", description="project of Sentry that gets reports of unexpected errors")
    email_url: str = Field(default="", description="mail server: smtp://user:password@host:587/?tls=true")
    alert_email: CommaList = Field(default=[], description="addresses to which alerts are mailed")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Hides passwords: error pages with DEBUG, and reports of errors, show the settings."""
        for name, value in super().__repr_args__():
            is_secret = name is not None and (name in SECRET_SETTINGS or name.endswith("database_url"))
            yield name, "…" if value and is_secret else value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (BASE_DIR / value.expanduser()).resolve()

    @field_validator("app_url", "openai_base_url", "hubspot_base_url", "otel_exporter_otlp_endpoint")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and not _is_address(value):
            raise ValueError("must be an address such as https://jobs.example.com")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_host_names(cls, value: list[str]) -> list[str]:
        if wrong := [name for name in value if name != "*" and not _HOST_NAME.fullmatch(name.removeprefix("."))]:
            raise ValueError(f"write host names only, without https:// and port, not {', '.join(wrong)}")
        return value

    @field_validator("cors_origins", "embed_origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        return sorted({browser_origin(text) for text in value})

    @field_validator("http_allowed_private_hosts", "model_allowed_hosts")
    @classmethod
    def _have_ports(cls, value: list[str]) -> list[str]:
        if wrong := [entry for entry in value if not _is_host_and_port(entry)]:
            raise ValueError(f"write each as host:port, such as 10.0.0.5:8080, not {', '.join(wrong)}")
        return value

    @field_validator("database_url", "listen_database_url", "migrate_database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        parts = _parts_of(value)
        if value and not parts.keys() & {"dbname", "service"}:
            raise ValueError("must end with the name of the database: postgresql://user:password@host/database")
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_strong(cls, value: str) -> str:
        if value and (reason := weakness(value)):
            raise ValueError(reason)
        return value

    @field_validator("metrics_token")
    @classmethod
    def _is_token(cls, value: str) -> str:
        if value and (len(value) < MIN_TOKEN_LENGTH or not value.isascii() or not value.isprintable() or " " in value):
            raise ValueError(
                f"must be {MIN_TOKEN_LENGTH} or more ASCII characters without spaces: `openssl rand -hex 32`"
            )
        return value

    @field_validator("email_url")
    @classmethod
    def _is_mail_server(cls, value: str) -> str:
        if value:
            mail_server.parse(value)
        return value

    @field_validator("alert_email")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        if wrong := [address for address in value if not mail_server.ADDRESS.fullmatch(address)]:
            raise ValueError(f"must be addresses such as ops@example.com, not {', '.join(wrong)}")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _are_headers(cls, value: str) -> str:
        if not all(_HEADER.fullmatch(pair.strip()) for pair in value.split(",") if pair.strip()):
            raise ValueError("write it as name=value, separated by commas")
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _is_dsn(cls, value: str) -> str:
        if value and not (_is_address(value) and _DSN.fullmatch(value)):
            raise ValueError("must be the DSN that Sentry shows: https://key@host/number")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise ValueError(f"must be addresses or networks such as 10.0.0.0/8, not {text}") from error
        return value

    @field_validator("extra_apps")
    @classmethod
    def _are_packages(cls, value: list[str]) -> list[str]:
        if missing := [name for name in value if not _is_package(name)]:
            raise ValueError(f"there is no Python package {', '.join(missing)}")
        if taken := [name for name in value if name in OWN_APPS or value.count(name) > 1]:
            raise ValueError(f"{taken[0]} is already installed")
        return value

    @field_validator("callback_secret")
    @classmethod
    def _is_webhook_secret(cls, value: str) -> str:
        if value and (wrong := webhook_secret_error(value)):
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.debug and self.app_url.startswith("https://"):
            raise ValueError("DEBUG: must be false if APP_URL begins with https://, because error pages show the code")
        if self.migrate_database_url and not self.database_url:
            raise ValueError("MIGRATE_DATABASE_URL: set DATABASE_URL too. The embedded database has a role of its own")
        if self.alert_email and not self.email_url:
            raise ValueError("ALERT_EMAIL: needs EMAIL_URL, the mail server: smtp://user:password@host:587/?tls=true")
        return self

    @property
    def public_url(self) -> str:
        """The address at which outside systems and links find this application."""
        return (self.app_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def otel_headers(self) -> dict[str, str]:
        pairs = [pair.partition("=") for pair in self.otel_exporter_otlp_headers.split(",") if pair.strip()]
        return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}

    @property
    def own_hosts(self) -> list[str]:
        """Host names for the web server: those of this machine and that of `public_url`."""
        return ["localhost", "127.0.0.1", "[::1]", urlsplit(self.public_url).hostname or self.host]


def webhook_secret_error(value: str) -> str:
    """Returns what is wrong with a secret of Standard Webhooks: base64, with or without `whsec_` and padding."""
    text = value.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) >= MIN_SECRET_BYTES:
        return ""
    return f"must be {MIN_SECRET_BYTES} or more random bytes in base64: `openssl rand -base64 32`"


def weakness(key: str) -> str:
    """Returns why this is not a safe SECRET_KEY. Empty if it is one."""
    if not key:
        return f"set it to {MIN_KEY_LENGTH} or more random characters, and keep them: `openssl rand -base64 48`"
    if key.startswith("django-insecure-"):
        return "begins with django-insecure-, which marks keys that are not secret"
    if len(key) < MIN_KEY_LENGTH or len(set(key)) < MIN_KEY_CHARACTERS:
        return f"must be {MIN_KEY_LENGTH} or more random characters: `openssl rand -base64 48`"
    return ""


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or too large
        return False


def _is_host_and_port(entry: str) -> bool:
    host, _, port = entry.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535
    return is_port and bool(_HOST_NAME.fullmatch(host))


def _without_password(text: str) -> str:
    """Hides what may be a password in an address: all before the last `@`, the port, and an option of that name."""
    start, at, rest = text.rpartition("@")
    if "pass" in rest.lower():
        return "an address with a password"
    if not at:
        return text
    scheme, slashes, _ = start.partition("://")
    return f"{scheme}{slashes}…@{_PORT.sub('', rest)}" if slashes else f"…@{_PORT.sub('', rest)}"


def _parts_of(url: str) -> dict[str, Any]:
    """Raises ValueError with a message that shows nothing of the address. libpq's own messages quote it.

    If a password has a character with a meaning in URLs, a part of it is read as the port, which libpq's messages
    quote.
    """
    unreadable = (
        "cannot be read. Write postgresql://user:password@host:port/database, and in the password %23 for #, %25 for %,"
        " %2F for / and %40 for @"
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(unreadable) from None
    if not all(port.isdecimal() for port in str(parts.get("port", "")).split(",") if port):
        raise ValueError(unreadable)
    return parts


def _is_package(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@cache
def load() -> Config:
    """Reads the settings once. Raises ConfigError with a line for each wrong one."""
    try:
        return Config()
    except ValidationError as error:
        # Without the cause, because its text shows every value, also secrets.
        raise ConfigError("\n".join(_error_line(item) for item in error.errors())) from None


def _error_line(item: ErrorDetails) -> str:
    name = ".".join(str(part) for part in item["loc"])
    given = _without_password(repr(item.get("input")))
    got = "" if name.lower() in SECRET_SETTINGS or not name else f" (got {given})"
    message = _PLAIN.get(item["type"], item["msg"].removeprefix("Value error, "))
    return f"{name.upper()}: {message}{got}" if name else message
