"""Exceptions of libraries that their parser did not expect: the file is damaged in a way that nobody has seen yet.

A defect in our own code, or in an extension, is not damage to the file. It keeps its class, so that it is found.
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from documents.errors import Corrupt, DocumentError
from documents.parsers import packages_of_parsers

logger = logging.getLogger(__name__)


@contextmanager
def library_errors_as_ours() -> Iterator[None]:
    """Turns an exception of a library into Corrupt, even a panic of Rust, which is not an Exception."""
    try:
        yield
    except (DocumentError, MemoryError, RecursionError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if not is_of_a_library(error):
            raise
        logger.warning("a library could not read the document", exc_info=error)
        raise Corrupt() from error


def is_of_a_library(error: BaseException) -> bool:
    """Whether a library raised the error, and not the code of a parser, because of what it read."""
    if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
        return False  # a missing file or a full disk
    ours = packages_of_parsers()
    if type(error).__module__ != "builtins":
        return _package(type(error).__module__) not in ours
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and _package(frames[-1].f_globals.get("__name__", "")) not in ours


def _package(module: str) -> str:
    return module.partition(".")[0]
