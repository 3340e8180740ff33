"""Wrong settings are reported before anything starts."""

import re
from pathlib import Path

import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops import config, env_file

NO_ORIGINS = [
    "*",
    "null",
    "https://*.example.com",
    "https://*",
    "app.example.com",
    "//app.example.com",
    "https://",
    "https:///path",
    "https://app.example.com/path",
    "https://app.example.com//",
    "https://app.example.com?",
    "https://app.example.com?a=b",
    "https://app.example.com/#",
    "https://app.example.com:",
    "https://app.example.com:port",
    "https://app.example.com:0",
    "https://app.example.com:65536",
    "https://user@app.example.com",
    "https://app.example.com https://b.example.com",
    "https://app.example.com;script-src",
    "https://'self'",
    "https://app.example.com.",
    "https://app..example.com",
    "https://127.1",
    "https://0x7f000001",
    "https://[::1",
    "https://[fe80::1%25eth0]",
    "file:///home",
    "ftp://app.example.com",
    "chrome-extension://abcdefgh",
    "data:text/html,x",
    "javascript:alert(1)",
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    config.load.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("WORKERS", "-1"),
        ("DEBUG", "perhaps"),
        ("APP_URL", "jobs.example.com"),
        ("MODEL_ALIASES", "gpt-4"),
        ("EXTRA_APPS", "no_such_app"),
        ("EXTRA_APPS", "tests.no_such_app"),
        ("EXTRA_APPS", "nothing.at.all"),
        ("EXTRA_APPS", "tests.probe,tests.probe"),
        ("EXTRA_APPS", "jobs"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "10.0.0.5"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "10.0.0.5:8080,printer"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "printer:"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", ":80"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "printer:0"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "printer:65536"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "http://printer:80"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "printer:80/path"),
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "::1:80"),
        ("ALLOWED_HOSTS", "https://jobs.example.com"),
        ("ALLOWED_HOSTS", "jobs.example.com:8000"),
        ("APP_URL", "https://jobs.example.com:port"),
        ("APP_URL", "https://jobs.example.com:99999"),
        ("OPENAI_BASE_URL", "127.0.0.1:11434"),
        ("HUBSPOT_BASE_URL", "api.hubapi.com"),
        ("DATABASE_URL", "postgresql://somewhere"),
        ("DATABASE_URL", "postgresql://somewhere/jobs?no_such_option=1"),
        ("MODEL_ALIASES", "gpt-4="),
        ("MODEL_ALIASES", "a=b,a=c"),
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "1000000000"),
        ("LEASE_SECONDS", "nan"),
        ("LEASE_SECONDS", "0"),
        ("STOP_GRACE", "inf"),
        ("CHILD_SECONDS", "inf"),
        ("CHILD_SECONDS", "nan"),
        ("OCR_SECONDS", "inf"),
        ("CHILD_MEMORY_MB", "99999999999999"),
        ("CHILDREN", "65"),
        ("MAX_UPLOAD_MB", "0"),
        ("MAX_UPLOAD_FILES", "10001"),
        ("USER_QUOTA_MB", "-5"),
        ("API_RATE", "-1"),
        *((name, value) for name in ("CORS_ORIGINS", "EMBED_ORIGINS") for value in NO_ORIGINS),
        ("OCR_PAGES", "-1"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=rf"(?s)^{name}: .*{re.escape(value)}"):
        config.load()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DEBUG", "perhaps", "write true or false"),
        ("PORT", "eighty", "write a whole number"),
        ("STOP_GRACE", "soon", "write a number"),
    ],
)
def test_the_message_says_what_to_write(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=rf"^{name}: {message} \(got '{value}'\)$"):
        config.load()


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("STOP_GRACE", "soon")
    monkeypatch.setenv("SECRET_KEY", "short")
    monkeypatch.setenv("HTTP_ALLOWED_PRIVATE_HOSTS", "printer")
    wrong = r"(?s)PORT: .*SECRET_KEY: .*STOP_GRACE: .*HTTP_ALLOWED_PRIVATE_HOSTS: .*printer"
    with pytest.raises(config.ConfigError, match=wrong):
        config.load()


@pytest.mark.parametrize("value", ["short", "x" * 60, "django-insecure-" + "abcdefghij" * 6, "0123456789" * 4])
def test_a_weak_secret_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SECRET_KEY", value)
    with pytest.raises(config.ConfigError, match=r"^SECRET_KEY: (must|begins)") as caught:
        config.load()
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "LISTEN_DATABASE_URL", "MIGRATE_DATABASE_URL", "APP_URL"])
def test_a_password_in_a_wrong_address_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "mysql://user:pass@word@somewhere/jobs")
    with pytest.raises(config.ConfigError, match=rf"^{name}: .*somewhere/jobs") as caught:
        config.load()
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_ALLOWED_PRIVATE_HOSTS", "10.0.0.5:8080, printer.local:80, [::1]:443"),
        ("ALLOWED_HOSTS", "jobs.example.com, .example.org, *, 10.0.0.5, [::1]"),
        ("DATABASE_URL", "postgresql:///jobs?host=/run/postgresql&user=me"),
        ("DATABASE_URL", "postgres://u:p%40w@h1:5432,h2/jobs"),
        ("DATABASE_URL", "postgresql://?service=jobs"),
        ("APP_URL", "https://jobs.example.com:8443/"),
        ("MODEL_ALIASES", "a=b, c=d=e"),
        ("SECRET_KEY", "of-the-tests-alone-" + 40 * "x"),
    ],
)
def test_a_right_value_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(config.load(), name.lower())


@pytest.mark.parametrize("name", ["CORS_ORIGINS", "EMBED_ORIGINS"])
@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("HTTPS://App.Example.COM", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80/", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, sent: str
) -> None:
    monkeypatch.setenv(name, f"{written}, {sent},")
    assert getattr(config.load(), name.lower()) == [sent]


class TestEnvFile:
    def warnings(self, tmp_path: Path, text: str) -> list[str]:
        path = tmp_path / ".env"
        path.write_text(text)
        return [line.removeprefix(f"{path}: ") for line in env_file.warnings(path)]

    @pytest.mark.parametrize(
        ("misspelt", "meant"),
        [
            ("OPENAI_APIKEY", "OPENAI_API_KEY"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("worker", "WORKERS"),
            ("SECRET_KYE", "SECRET_KEY"),
            ("export EXTRA_APP", "EXTRA_APPS"),
        ],
    )
    def test_a_misspelt_name(self, tmp_path: Path, misspelt: str, meant: str) -> None:
        (line,) = self.warnings(tmp_path, f"PORT=8001\n{misspelt}=x\n")
        assert line == f"{misspelt.removeprefix('export ')} is not a setting. Did you mean {meant}?"

    def test_other_names_share_a_line(self, tmp_path: Path) -> None:
        (line,) = self.warnings(tmp_path, "ACME_TOKEN=x\nLOG_LEVEL=$y\n")
        assert line.startswith("ACME_TOKEN, LOG_LEVEL: not settings")

    def test_settings_and_secrets_are_known(self, tmp_path: Path) -> None:
        example = (BASE_DIR / ".env.example").read_text()
        assert self.warnings(tmp_path, re.sub(r"(?m)^#([A-Z_]+=)", r"\1", example)) == []
        assert self.warnings(tmp_path, "port=1\nSECRET_CRM=x\nSECRET_KEY=x\nSECRET_KEY2=x\n") == []

    def test_no_file(self, tmp_path: Path) -> None:
        assert list(env_file.warnings(tmp_path / ".env")) == []


@pytest.mark.parametrize("value", ["not base64 at all", "c2hvcnQ=", "whsec_", "+++++++++++++++++++++++*", "ab_-" * 10])
def test_a_callback_secret_that_cannot_be_one_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CALLBACK_SECRET", value)
    with pytest.raises(config.ConfigError, match=r"^CALLBACK_SECRET: .*base64") as caught:
        config.load()
    assert value not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "value",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ",
        "",
    ],
)
def test_a_callback_secret_is_written_as_standard_webhooks_does(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CALLBACK_SECRET", value)
    assert config.load().callback_secret == value
