"""Pictures of text: PNG, JPEG, TIFF and others, if text recognition (OCR) is installed.

A TIFF file may have several pages, as scanners and fax machines write them. Animations count as one picture.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents.errors import Corrupt, NeedsOcr, TooComplex
from documents.parsers import MAX_PAGES, ParsedDocument, Report, register
from documents.parsers.pictures import ocr

MAX_PIXELS = 100_000_000
"""Limit for one page. A sheet of A3 at 600 dots per inch has 70 million."""
_PAGED = "TIFF"


class PictureParser:
    formats = ("png", "jpeg", "tiff", "bmp", "gif", "webp")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns a page for every picture in the file. Raises NeedsOcr outside of text recognition."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                count = min(getattr(picture, "n_frames", 1), MAX_PAGES) if picture.format == _PAGED else 1
                if ocr.limits is None:
                    raise NeedsOcr(ocr.advice("The file is a picture of text"))
                pages = list(_texts(picture, count, ocr.limits, report))
        except UnidentifiedImageError as error:
            raise Corrupt() from error
        except Image.DecompressionBombError as error:
            raise TooComplex("The picture has too many pixels: save it smaller.") from error
        except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for damaged pictures
            raise Corrupt() from error
        if not any(pages):
            raise NeedsOcr(ocr.advice("The file is a picture of text"))
        warnings = ["Read by text recognition (OCR), which makes mistakes."]
        if len(pages) < count:
            warnings.append(f"Only {len(pages)} of {count} pages were read: split the file.")
        return ParsedDocument(pages + [""] * (count - len(pages)), warnings=warnings)


def _texts(picture: Any, count: int, limits: ocr.OcrLimits, report: Report) -> Iterator[str]:
    end = time.monotonic() + limits.seconds
    for number in range(min(count, limits.pages)):
        if time.monotonic() > end:
            return
        picture.seek(number)
        yield ocr.text_in(_pixels(picture))
        report(number + 1, count)


def _pixels(picture: Any) -> Any:
    """Returns the pixels of the page, upright, on white, and not larger than text recognition needs."""
    import numpy
    from PIL import Image, ImageOps

    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise TooComplex("The picture has too many pixels: save it smaller.")
    page = ImageOps.exif_transpose(picture).convert("RGBA")
    page = Image.alpha_composite(Image.new("RGBA", page.size, "white"), page).convert("RGB")
    page.thumbnail((ocr.MAX_SIDE, ocr.MAX_SIDE))
    return numpy.asarray(page)


if ocr.is_installed():
    register(PictureParser())
