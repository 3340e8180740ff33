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
"""Pixels of a page; a poster is drawn smaller."""

_ENGINE = {
    "Global.log_level": "critical",
    "Det.limit_type": "max",
    "Det.limit_side_len": 1120,
    "Rec.rec_batch_num": 1,
    "Cls.cls_batch_num": 1,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
"""Half the memory of its own settings, and one core; it finds the same phrases."""


@dataclass(frozen=True)
class Limits:
    """Of one document. What they leave unread is told in a warning."""

    pages: int
    seconds: float


limits: Limits | None = None
"""Of this process: a child that is to recognize text is told before it begins. None: it is not."""


@cache
def is_installed() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def advice(problem: str) -> str:
    """A sentence for a document that only OCR can read."""
    if is_installed():
        return f"{problem}, and text recognition (OCR) finds none in them: scan them anew, sharper, and upload that."
    return (
        f"{problem}: run the file through text recognition (OCR) and upload the result,"
        f" or let whoever runs this application install it here ({INSTALL})."
    )


def recognize(document: "PdfDocument", numbers: Sequence[int], report: Report) -> Iterator[tuple[int, str]]:
    """The texts of the pages of these numbers, as far as the limits reach."""
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
    from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

    try:
        found = _engine()(picture.to_numpy())
    except ONNXRuntimeError as error:  # it had no memory left
        raise TooComplex(
            "Recognizing the text of a page takes too much memory: scan it in a lower resolution."
        ) from error
    picture.close()
    return "\n".join(found.txts or ())


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params=_ENGINE)
