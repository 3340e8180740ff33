"""EMAIL_URL, in the spellings of django-environ and dj-email-url. No message shows the password."""

import pytest

from aiworkstation.ops import config, mail_server
from aiworkstation.ops.mail_server import parse, sender_at

PASSWORD = "pa55word"


@pytest.fixture(autouse=True)
def fresh() -> None:
    config.load.cache_clear()


@pytest.mark.parametrize(
    ("url", "port", "security"),
    [
        ("smtp://user:pa55word@mail.example.com:587/?tls=true", 587, "starttls"),
        ("smtp://user:pa55word@mail.example.com?tls", 587, "starttls"),
        ("smtp+tls://user:pa55word@mail.example.com:2525", 2525, "starttls"),
        ("submission://user:pa55word@mail.example.com", 587, "starttls"),
        ("smtp://user:pa55word@mail.example.com:465/?ssl=True", 465, "tls"),
        ("smtp+ssl://user:pa55word@mail.example.com", 465, "tls"),
        ("smtps://user:pa55word@mail.example.com", 465, "tls"),
        ("smtps://user:pa55word@mail.example.com:587", 587, "starttls"),
        ("smtp://user:pa55word@mail.example.com", 25, "none"),
    ],
)
def test_a_server(url: str, port: int, security: str) -> None:
    found = parse(url)
    assert (found.host, found.port, found.security) == ("mail.example.com", port, security)
    assert (found.user, found.password) == ("user", PASSWORD)


def test_characters_with_a_meaning_in_urls_are_written_with_percent_signs() -> None:
    assert parse("smtp://jobs%40example.com:%2F%3F%23%40%25@h").password == "/?#@%"


def test_a_console_and_a_folder() -> None:
    assert parse("console:").backend.endswith("console.EmailBackend")
    assert parse("consolemail://").backend.endswith("console.EmailBackend")
    assert parse("file:///var/mail/jobs").file_path == "/var/mail/jobs"


def test_where_mails_come_from() -> None:
    assert sender_at(parse("smtp://h?_default_from_email=jobs@example.com"), "x.example.com") == "jobs@example.com"
    assert sender_at(parse("smtp://me@example.com:pw@h"), "x.example.com") == "me@example.com"
    assert sender_at(parse("smtp://h"), "x.example.com") == "aiworkstation@x.example.com"
    assert sender_at(parse("smtp://h"), "127.0.0.1") == "aiworkstation@localhost"


@pytest.mark.parametrize(
    "url",
    [
        "pa55word",
        "https://user:pa55word@h",
        "smtp://user:pa55word@",
        "smtp://user:pa#pa55word@h",
        "smtp://user:pa/pa55word@h",
        "smtp://user:pa?pa55word@h",
        "smtp://user:pa?pa55word=1@h",
        "smtp://user:%pa55word@h",
        "smtp://user:pa55word%0D%0A@h",
        "smtp://user:pa55word @h",
        "smtp://user:pa55word@h:port",
        "smtp://user:pa55word@h:0",
        "smtp://user:pa55word@h:70000",
        "smtp://user:pa55word@[::1",
        "smtp://:pa55word@h",
        "smtp://pa55word@h",
        "smtp://user:pa55word@h/folder",
        "smtp://user:pa55word@h?tls=maybe",
        "smtp://user:pa55word@h?tls=1&ssl=1",
        "smtp://user:pa55word@h?timeout=never",
        "smtp://user:pa55word@h?timeout=nan",
        "smtp://user:pa55word@h?timeout=0",
        "smtp://user:pa55word@h?_default_from_email=nobody",
        "file:",
        "file://pa55word",
        "file:///",
    ],
)
def test_a_wrong_address_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    with pytest.raises(config.ConfigError, match=r"^EMAIL_URL: ") as caught:
        config.load()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("value", ["ops", "ops@", "@example.com", "a@b c", "a@b,ops", "Ops <ops@example.com>", "ä@b.c"])
def test_wrong_addresses_for_alerts(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EMAIL_URL", f"smtp://user:{PASSWORD}@h")
    monkeypatch.setenv("ALERT_EMAIL", value)
    with pytest.raises(config.ConfigError, match=r"^ALERT_EMAIL: must be addresses") as caught:
        config.load()
    assert PASSWORD not in str(caught.value)


def test_alerts_need_a_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_EMAIL", "ops@example.com")
    with pytest.raises(config.ConfigError, match="ALERT_EMAIL: needs EMAIL_URL"):
        config.load()


def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", "console:")
    monkeypatch.setenv("ALERT_EMAIL", "a@example.com, b@localhost")
    assert config.load().alert_email == ["a@example.com", "b@localhost"]
    assert mail_server.parse(config.load().email_url).host == "localhost"
