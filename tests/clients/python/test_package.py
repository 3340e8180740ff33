"""The package can be built and installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from aiworkstation_client import __version__

from aiworkstation import BASE_DIR

PACKAGE = BASE_DIR / "clients" / "python"


def pip(*arguments: str) -> None:
    """Without a package index: the tools of the tests are enough."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=120, env=os.environ | {"PIP_NO_INDEX": "1"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(folder), str(PACKAGE))
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_has_every_module(wheel: Path) -> None:
    source = PACKAGE / "src"
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in (".py", ".typed")}
    files = zipfile.ZipFile(wheel).namelist()
    assert {name for name in files if ".dist-info" not in name} == modules
    assert any(name.endswith("LICENSE") for name in files)


def test_the_command_is_installed(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--target", str(tmp_path), str(wheel))
    done = subprocess.run(
        [tmp_path / "bin" / "aiw", "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"aiw {__version__}\n"
    assert f"-{__version__}-" in wheel.name
