"""docs/settings.md has every setting with its default; the examples of the README and the docs are Python."""

import re
import textwrap

import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops.config import Config

SETTINGS = (BASE_DIR / "docs" / "settings.md").read_text()
ROWS = re.findall(r"^\| `([A-Z_]+)` \| (none|`[^`]+`) \|", SETTINGS, re.MULTILINE)
TABLE = {name: "" if default == "none" else default.strip("`") for name, default in ROWS}
PAGES = [BASE_DIR / "README.md", BASE_DIR / "CONTRIBUTING.md", *sorted((BASE_DIR / "docs").rglob("*.md"))]
FLAGS = re.DOTALL | re.MULTILINE
EXAMPLES = [
    pytest.param(example, id=f"{path.name}-{number}")
    for path in PAGES
    for number, example in enumerate(re.findall(r"^ *```python\n(.*?)^ *```", path.read_text(), FLAGS), start=1)
]


def test_it_has_every_setting_once() -> None:
    assert sorted(name for name, _ in ROWS) == sorted(name.upper() for name in Config.model_fields)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_what_it_shows_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in TABLE:
        monkeypatch.delenv(variable, raising=False)
    default = getattr(Config(), name.lower())
    monkeypatch.setenv(name, TABLE[name])
    assert getattr(Config(), name.lower()) == default


@pytest.mark.parametrize("example", EXAMPLES)
def test_its_examples_are_python(example: str) -> None:
    compile(textwrap.dedent(example), "example", "exec")


def test_the_readme_is_short() -> None:
    assert len((BASE_DIR / "README.md").read_text().splitlines()) <= 200
