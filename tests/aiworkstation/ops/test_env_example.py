"""`.env.example` has every setting with its default."""

import re

import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops.config import Config

LINES = re.findall(r"^#?([A-Z_]+)=(.*)$", (BASE_DIR / ".env.example").read_text(), re.MULTILINE)
EXAMPLE = dict(LINES)


def test_it_has_every_setting_once() -> None:
    assert sorted(name for name, _ in LINES) == sorted(name.upper() for name in Config.model_fields)


@pytest.mark.parametrize("name", sorted(set(EXAMPLE) - {"APP_URL"}))
def test_what_it_shows_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in EXAMPLE:
        monkeypatch.delenv(variable, raising=False)
    default = getattr(Config(), name.lower())
    monkeypatch.setenv(name, EXAMPLE[name])
    assert getattr(Config(), name.lower()) == default
