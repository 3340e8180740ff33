"""The folders of the tests mirror the packages, so that the tests of a module are where one looks for them."""

from pathlib import Path

import pytest

from aiworkstation import BASE_DIR

TESTS = Path(__file__).parent
ABOUT_ALL_PACKAGES = {"acceptance", "attacks", "browser", "chaos"}
FOLDERS = sorted(
    str(folder.relative_to(TESTS))
    for folder in TESTS.rglob("*")
    if folder.is_dir() and folder.name != "__pycache__" and any(folder.glob("test_*.py"))
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_the_name_of_what_it_tests(folder: str) -> None:
    if folder.partition("/")[0] in ABOUT_ALL_PACKAGES:
        return
    assert (BASE_DIR / folder).is_dir() or (BASE_DIR / f"{folder}.py").is_file()
