"""Pictures of text are read if requirements-ocr.txt is installed."""

import json
from pathlib import Path

import pytest

from documents.errors import Corrupt, NeedsOcr
from documents.parsers.pictures import ocr
from documents.reading.pipeline import read_in_child

needs_engine = pytest.mark.skipif(
    not ocr.is_installed(), reason="text recognition is not installed (pip install -r requirements-ocr.txt)"
)


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "limits", None)


@pytest.fixture
def scan(samples: Path, tmp_path: Path) -> Path:
    """The sample report as a scanner would produce it: three pictures."""
    import pypdfium2

    with pypdfium2.PdfDocument(samples / "quarterly-sales-report.pdf") as document:
        pictures = [page.render(scale=2).to_pil().convert("L") for page in document]
    pictures[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pictures[1:], quality=70)
    return tmp_path / "scan.pdf"


def _read(path: Path, **limits: float) -> dict[str, object]:
    arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100}
    output = path.with_suffix(".json")
    read_in_child({**arguments, "output": str(output), "ocr": limits})
    result: dict[str, object] = json.loads(output.read_text())
    return result


@needs_engine
def test_it_works(scan: Path) -> None:
    result = _read(scan, pages=10, seconds=300)
    pages = result["pages"]
    assert isinstance(pages, list)
    assert "Harbour Supplies" in pages[1]
    assert "Recommendations" in pages[2]
    assert result["warnings"] == ["3 of 3 pages: read by text recognition (OCR), which makes mistakes (1-3)."]
    assert result["needsOcr"] == 0


@needs_engine
def test_a_limit_of_pages(scan: Path) -> None:
    result = _read(scan, pages=1, seconds=300)
    assert result["needsOcr"] == 2
    assert "2 of 3 pages: a picture without text, which needs text recognition (OCR) (2-3)." in str(result["warnings"])


@needs_engine
def test_it_is_not_used_by_default(scan: Path) -> None:
    with pytest.raises(NeedsOcr):
        _read(scan)


@needs_engine
@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan.webp", "scan.tif"])
def test_pictures(samples: Path, tmp_path: Path, name: str) -> None:
    """A TIFF file has pages."""
    import pypdfium2

    with pypdfium2.PdfDocument(samples / "quarterly-sales-report.pdf") as document:
        pages = [page.render(scale=2).to_pil().convert("L") for page in document]
    more = {"save_all": True, "append_images": pages[2:]} if name.endswith(".tif") else {}
    pages[1].save(tmp_path / name, **more)
    result = _read(tmp_path / name, pages=10, seconds=300)
    read = result["pages"]
    assert isinstance(read, list)
    assert "Rescue Service" in read[0]
    assert len(read) == (2 if more else 1)
    assert "Recommendations" in read[-1] or not more
    assert "OCR" in str(result["warnings"])


@needs_engine
def test_a_picture_is_not_recognized_by_default(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (60, 60)).save(tmp_path / "a.png")
    with pytest.raises(NeedsOcr):
        _read(tmp_path / "a.png")


@needs_engine
@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + bytes(2_000), b"\xff\xd8\xff\xe0"])
def test_a_damaged_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Corrupt):
        _read(tmp_path / "a.png", pages=1, seconds=60)


def test_the_advice_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "is_installed", lambda: False)
    assert "(pip install -r requirements-ocr.txt)" in ocr.advice("The pages are pictures of text")
    monkeypatch.setattr(ocr, "is_installed", lambda: True)
    assert "install" not in ocr.advice("The pages are pictures of text")
