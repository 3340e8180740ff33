from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "samples"
CORPUS = Path(__file__).parents[2] / "../shared/corpus"


@pytest.fixture
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def corpus() -> Path:
    if not (CORPUS / "MANIFEST.csv").exists():
        pytest.skip("the corpus of real documents is not on this machine")
    return CORPUS
