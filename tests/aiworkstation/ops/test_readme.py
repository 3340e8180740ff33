"""README's table has every setting, with its default; its examples can be read by Python."""

import re

import pytest

from aiworkstation.ops.config import BASE_DIR, Config

README = (BASE_DIR / "README.md").read_text()
SETTINGS = README.partition("\n## Settings\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `([A-Z_]+)` \| (none|`[^`]+`) \|", SETTINGS, re.MULTILINE)
TABLE = {name: "" if default == "none" else default.strip("`") for name, default in ROWS}


def test_it_has_every_setting_once() -> None:
    assert sorted(name for name, _ in ROWS) == sorted(name.upper() for name in Config.model_fields)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_what_it_shows_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in TABLE:
        monkeypatch.delenv(variable, raising=False)
    default = getattr(Config(), name.lower())
    monkeypatch.setenv(name, TABLE[name])
    assert getattr(Config(), name.lower()) == default


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_its_examples_are_python(example: str) -> None:
    compile(example, "README.md", "exec")


@pytest.mark.parametrize("path", re.findall(r"\]\(([^):]+)\)", README))
def test_its_links_lead_somewhere(path: str) -> None:
    assert (BASE_DIR / path).exists()
