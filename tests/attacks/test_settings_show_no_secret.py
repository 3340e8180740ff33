"""Messages about wrong settings, which end up in logs and terminals."""

import os
import subprocess
import sys

import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops import config, mail_server

PASSWORD = "hunter2secret"
WRONG = [
    f"mysql://u:{PASSWORD}@h/d",
    f"postgres:/u:{PASSWORD}@h/d",
    f"postgresql://u:{PASSWORD}%zz@h/d",
    f"postgresql://u:{PASSWORD}/x@h/d",
    f"postgresql://u:{PASSWORD}@h:port/d",
    f"postgresql://u@h:{PASSWORD}/d",
    f"postgresql://u@h/d?password={PASSWORD}&nosuch=1",
    f"host=h password={PASSWORD}",
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    config.load.cache_clear()


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ["DATABASE_URL", "LISTEN_DATABASE_URL", "MIGRATE_DATABASE_URL"])
def test_a_database_password(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=rf"^{name}: ") as caught:
        config.load()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("command", ["check", "run", "migrate"])
@pytest.mark.parametrize("value", [WRONG[2], f"postgresql://u:{PASSWORD}@127.0.0.1:1/d"])
def test_no_command_shows_it(command: str, value: str, tmp_path: object) -> None:
    environment = {
        **{name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "ENV_FILE": "",
        "DATABASE_URL": value,
        "SECRET_KEY": "x" * 60,
        "DATA_DIR": str(tmp_path),
        "PORT": "24871",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert PASSWORD not in done.stdout + done.stderr
    if value == WRONG[2]:
        assert "DATABASE_URL: cannot be read" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_password_in_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_URL", f"ftp://u:{PASSWORD}@h/")
    with pytest.raises(config.ConfigError, match=r"^APP_URL: .*got") as caught:
        config.load()
    assert PASSWORD not in str(caught.value)


def test_the_settings_as_error_pages_show_them() -> None:
    secrets = [*config.SECRET_SETTINGS, "database_url", "listen_database_url", "migrate_database_url"]
    loaded = config.Config().model_copy(update=dict.fromkeys(secrets, PASSWORD))
    assert PASSWORD in loaded.email_url
    assert PASSWORD not in f"{loaded!r} {loaded} {mail_server.parse(f'smtp://user:{PASSWORD}@h')!r}"


@pytest.mark.parametrize("key", ["x", "changeme", "django-insecure-" + "abcdefghij" * 6, "a" * 60, "ab" * 30])
def test_a_weak_key_does_not_start(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("SECRET_KEY", key)
    with pytest.raises(config.ConfigError, match=r"^SECRET_KEY: (must|begins)") as caught:
        config.load()
    assert len(key) == 1 or key not in str(caught.value)


def test_debug_with_https_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "true")
    monkeypatch.setenv("APP_URL", "https://jobs.example.com")
    with pytest.raises(config.ConfigError, match=r"^DEBUG: must be false"):
        config.load()
    for name, value in (("DEBUG", "false"), ("APP_URL", "http://jobs.example.com")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            config.load.cache_clear()
            config.load()
