"""Sample files, and a separate folder for the uploads of each test."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "uploads"
    return tmp_path / "uploads"
