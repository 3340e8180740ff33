"""Text recognition (OCR) for pages that are pictures: an extra, installed with requirements-ocr.txt."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from documents.parsers import Report

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

INSTALL = "pip install -r requirements-ocr.txt"
DOTS_PER_INCH = 200
POINTS_PER_INCH = 72
MAX_SIDE = 4_000
"""Pixels; a poster is drawn smaller."""


@dataclass
class Limits:
    """Of one document. What they leave unread is told in a warning."""

    pages: int = 40
    seconds: float = 90


limits = Limits()
"""Of this process: a child that reads a document is told its limits once, before it begins."""


@cache
def is_installed() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def advice(problem: str) -> str:
    """A sentence for a document that only OCR can read."""
    if is_installed():
        return f"{problem}, and text recognition (OCR) finds none: scan it anew, sharper, and upload that."
    return (
        f"{problem}: run the file through text recognition (OCR) and upload the result,"
        f" or let whoever runs this application install it here ({INSTALL})."
    )


def recognize(document: "PdfDocument", numbers: Sequence[int], report: Report) -> Iterator[tuple[int, str]]:
    """The pages of these numbers, as far as the limits reach."""
    end = time.monotonic() + limits.seconds
    for done, number in enumerate(numbers[: limits.pages], start=1):
        if time.monotonic() > end:
            return
        yield number, _text(document, number - 1)
        report(done, len(numbers))


def _text(document: "PdfDocument", index: int) -> str:
    page = document[index]
    scale = min(DOTS_PER_INCH / POINTS_PER_INCH, MAX_SIDE / max(page.get_size()))
    picture = page.render(scale=scale, grayscale=False).to_numpy()
    result = _engine()(picture)
    return "\n".join(result.txts or ())


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR()
