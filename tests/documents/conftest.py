from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def samples() -> Path:
    return SAMPLES
