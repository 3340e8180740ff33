"""Every setting of the application, read once from the environment or `.env`.

A wrong value stops the start with one message that names each bad setting and what it should be.
"""

import base64
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from aiworkstation import BASE_DIR

# Empty: no file is read.
ENV_FILE = os.environ.get("ENV_FILE", str(BASE_DIR / ".env")) or None
MIN_SECRET_BYTES = 16
NEVER_SHOWN = ("callback_secret",)


class ConfigError(Exception):
    """A setting has a value that cannot be used."""


def _split(value: object) -> object:
    """`a, b` → `["a", "b"]`."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _pairs(value: object) -> object:
    """`a=b, c=d` → `{"a": "b", "c": "d"}`."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all("=" in part for part in parts):
        raise ValueError("write it as name=model, separated by commas")
    return {name.strip(): target.strip() for name, target in (part.split("=", 1) for part in parts)}


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
CommaPairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]


class Config(BaseSettings):
    """The settings of README's table, with their types and defaults."""

    model_config = SettingsConfigDict(env_file=ENV_FILE, extra="ignore", env_ignore_empty=True, case_sensitive=False)

    port: int = Field(default=8000, ge=1, le=65535)
    host: str = "127.0.0.1"
    app_url: str = ""
    debug: bool = False
    allowed_hosts: CommaList = []

    database_url: str = ""
    listen_database_url: str = ""
    data_dir: Path = BASE_DIR / "var"
    secret_key: str = ""

    workers: int = Field(default=0, ge=0, le=64, description="0: by the machine")
    lease_seconds: float = Field(default=30, ge=1, le=3600)
    stop_grace: float = Field(default=20, ge=0, le=3600)

    retention_days: int = Field(default=90, ge=0, description="finished jobs are kept for so long; 0: for ever")

    children: int = Field(
        default=0, ge=0, le=64, description="documents that a worker reads at once; 0: by the machine"
    )
    child_memory_mb: int = Field(default=768, ge=256, description="address space of a child that reads a document")
    child_seconds: float = Field(default=120, ge=1, description="time that such a child may take")
    ocr_memory_mb: int = Field(default=2048, ge=1024, description="address space of a child that recognizes text")
    ocr_seconds: float = Field(default=600, ge=10, description="time that such a child may take for one document")
    ocr_pages: int = Field(default=100, ge=0, description="recognized in one document; 0: none")

    openai_api_key: str = ""
    openai_base_url: str = ""
    default_model: str = ""
    model_aliases: CommaPairs = {}
    embedding_model: str = ""

    hubspot_access_token: str = ""
    hubspot_base_url: str = "https://api.hubapi.com"
    http_allowed_private_hosts: CommaList = []
    callback_secret: str = ""
    extra_apps: CommaList = []
    max_upload_mb: int = Field(default=100, ge=1, description="of one document")
    max_upload_files: int = Field(default=200, ge=1, le=10_000, description="in one request")
    user_quota_mb: int = Field(default=10240, ge=1, description="of all documents of a user")
    api_rate: int = Field(default=0, ge=0, description="requests a minute; 0: no limit")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (BASE_DIR / value.expanduser()).resolve()

    @field_validator("app_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and not (value.startswith(("http://", "https://")) and urlsplit(value).hostname):
            raise ValueError("must be an address such as https://jobs.example.com")
        return value

    @field_validator("database_url", "listen_database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("extra_apps")
    @classmethod
    def _are_packages(cls, value: list[str]) -> list[str]:
        if missing := [name for name in value if not _is_package(name)]:
            raise ValueError(f"no Python package is named {', '.join(missing)}")
        return value

    @field_validator("callback_secret")
    @classmethod
    def _is_webhook_secret(cls, value: str) -> str:
        """As Standard Webhooks writes it: base64, perhaps with `whsec_` before it and without padding."""
        text = value.removeprefix("whsec_").rstrip("=")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
        if value and len(key) < MIN_SECRET_BYTES:
            raise ValueError(f"must be {MIN_SECRET_BYTES} or more random bytes in base64: `openssl rand -base64 32`")
        return value

    @property
    def public_url(self) -> str:
        """Where outside systems and links find this application."""
        return (self.app_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def own_hosts(self) -> list[str]:
        """The names by which this machine and `public_url` call the web server."""
        return ["localhost", "127.0.0.1", "[::1]", urlsplit(self.public_url).hostname or self.host]


def _is_package(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@cache
def load() -> Config:
    """Raises ConfigError with a line for each setting that is wrong."""
    try:
        return Config()
    except ValidationError as error:
        # Without the cause: its text has every value, secrets too.
        raise ConfigError("\n".join(_line(item) for item in error.errors())) from None


def _line(item: ErrorDetails) -> str:
    name = ".".join(str(part) for part in item["loc"])
    got = "" if name.lower() in NEVER_SHOWN else f" (got {item.get('input')!r})"
    return f"{name.upper()}: {item['msg'].removeprefix('Value error, ')}{got}"
