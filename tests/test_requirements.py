"""The compiled requirements: `make requirements` was run after each change of a list, and every file has its hash."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILED = ("requirements", "requirements-dev", "requirements-ocr", "requirements-next")
_NAME = re.compile(r"^([A-Za-z0-9._-]+)", re.MULTILINE)
_PINNED = re.compile(
    r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)((?: ;.*)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)?", re.MULTILINE
)


def _versions(name: str) -> dict[str, str]:
    return {found[1]: found[2] for found in _PINNED.finditer((ROOT / f"{name}.txt").read_text())}


def _listed(name: str) -> set[str]:
    return {found.lower() for found in _NAME.findall((ROOT / f"{name}.in").read_text())}


@pytest.mark.parametrize("name", COMPILED)
def test_every_package_has_hashes(name: str) -> None:
    found = list(_PINNED.finditer((ROOT / f"{name}.txt").read_text()))
    assert len(found) > 10
    assert [each[1] for each in found if not each[3]] == []


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_listed_is_compiled(name: str) -> None:
    assert _listed(name) - _versions(name).keys() == set()


def test_files_that_are_installed_together_agree() -> None:
    """requirements-next.txt differs in Django only."""
    product = _versions("requirements")
    tools = _versions("requirements-dev")
    for other in (tools, _versions("requirements-ocr"), _versions("requirements-next") | {"django": product["django"]}):
        for known in (product, tools):
            shared = known.keys() & other.keys()
            assert {name: known[name] for name in shared} == {name: other[name] for name in shared}
    assert _versions("requirements-next").keys() >= (product.keys() | tools.keys()) - {"tzdata"}
