"""The licences of what the application installs: no AGPL, and no GPL, because Python links what it imports."""

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from aiworkstation import BASE_DIR

REQUIREMENTS = BASE_DIR / "requirements.txt"
COPYLEFT = re.compile(r"\b(?:AGPL|(?<!L)GPL|Affero|(?<!Lesser )General Public License)", re.IGNORECASE)
PACKAGES = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==", REQUIREMENTS.read_text(), re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_licence(package: str) -> None:
    try:
        found = metadata(package)
    except PackageNotFoundError:
        pytest.skip("not installed on this system")
    stated = [text[:200] for name in ("License-Expression", "License") for text in found.get_all(name) or []]
    stated += [line for line in found.get_all("Classifier") or [] if line.startswith("License")]
    text = " ".join(stated)
    assert text.strip(), "it states no licence: look it up before it is used"
    assert not COPYLEFT.search(re.sub(r"LGPL|Lesser General Public License", "", text, flags=re.IGNORECASE)), text


def test_copyleft_is_noticed() -> None:
    assert COPYLEFT.search("AGPL-3.0-only")
    assert COPYLEFT.search("GNU General Public License v3")
    assert not COPYLEFT.search("MIT")
