"""Text recognition (OCR) for pages that are pictures: an extra, installed with requirements-ocr.txt."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from documents.errors import TooComplex
from documents.parsers import Report

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

INSTALL = "pip install -r requirements-ocr.txt"
DOTS_PER_INCH = 150
POINTS_PER_INCH = 72
MAX_SIDE = 2_000
"""Limit for a page, in pixels. A poster is rendered smaller."""

_ENGINE = {
    "Global.log_level": "critical",
    "Det.limit_type": "max",
    "Det.limit_side_len": 1120,
    "Rec.rec_batch_num": 1,
    "Cls.cls_batch_num": 1,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
"""These settings take half the memory of the defaults, and one core. They find the same phrases."""


@dataclass(frozen=True)
class OcrLimits:
    """Limits for one document. A warning lists the pages that they leave unread."""

    pages: int
    seconds: float


limits: OcrLimits | None = None
"""Set in a child process that should recognize text, before it reads the document. None: no text recognition."""


@cache
def is_installed() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def advice(problem: str) -> str:
    """Returns an error message for a document that only OCR can read."""
    if is_installed():
        return f"{problem}, and text recognition (OCR) found none: scan them again in better quality."
    return (
        f"{problem}: run the file through text recognition (OCR) and upload the result,"
        f" or ask the operator of this application to install it here ({INSTALL})."
    )


def advice_for_pictures() -> str:
    """Returns what to do with a picture, if text recognition is not installed."""
    return (
        "run it through text recognition (OCR) and upload the result as PDF or text,"
        f" or ask the operator of this application to install it here ({INSTALL})"
    )


def recognize(document: "PdfDocument", numbers: Sequence[int], report: Report) -> Iterator[tuple[int, str]]:
    """Yields the texts of the pages with these numbers, within the limits."""
    if limits is None:
        return
    end = time.monotonic() + limits.seconds
    for done, number in enumerate(numbers[: limits.pages], start=1):
        if time.monotonic() > end:
            return
        yield number, _text(document, number - 1)
        report(done, len(numbers))


def _text(document: "PdfDocument", index: int) -> str:
    page = document[index]
    scale = min(DOTS_PER_INCH / POINTS_PER_INCH, MAX_SIDE / max(page.get_size()))
    picture = page.render(scale=scale)
    text = text_in(picture.to_numpy())
    picture.close()
    return text


def text_in(pixels: Any) -> str:
    """Returns the text in a picture, a numpy array of rows of pixels. Raises TooComplex."""
    from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

    try:
        found = _engine()(pixels)
    except ONNXRuntimeError as error:  # out of memory
        raise TooComplex(
            "Recognizing the text of a page takes too much memory: scan it at a lower resolution."
        ) from error
    return "\n".join(found.txts or ())


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params=_ENGINE)
