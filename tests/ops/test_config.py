"""Wrong settings are named, before anything starts."""

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
