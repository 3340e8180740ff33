"""Wrong settings are reported before anything starts."""

import pytest

from aiworkstation.ops import config


@pytest.fixture(autouse=True)
def fresh() -> None:
    config.load.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("WORKERS", "-1"),
        ("DATABASE_URL", "mysql://localhost/jobs"),
        ("DEBUG", "perhaps"),
        ("APP_URL", "jobs.example.com"),
        ("MODEL_ALIASES", "gpt-4"),
        ("EXTRA_APPS", "no_such_app"),
        ("EXTRA_APPS", "tests.no_such_app"),
        ("EXTRA_APPS", "nothing.at.all"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(config.ConfigError, match=rf"{name}: .*{value}"):
        config.load()


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("STOP_GRACE", "soon")
    with pytest.raises(config.ConfigError, match=r"(?s)PORT: .*STOP_GRACE: "):
        config.load()


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
