"""Why a document cannot be read: a class for each `error.code`. Its docstring is the default message."""


class DocumentError(Exception):
    """The document cannot be read."""

    code = "failed"
    retryable = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")

    @property
    def message(self) -> str:
        return str(self)


class Encrypted(DocumentError):
    """The file is protected by a password: remove the password and upload the file again."""

    code = "encrypted"


class Corrupt(DocumentError):
    """The file is damaged or incomplete: open it in its own program, save it again and upload that copy."""

    code = "corrupt"


class WrongType(DocumentError):
    """The file is not what its name says, and cannot be read: upload the original document."""

    code = "wrong_type"


class UnsupportedType(DocumentError):
    """Files of this kind cannot be read: save the document as PDF, DOCX or text and upload that."""

    code = "unsupported_type"


class Empty(DocumentError):
    """The file is empty (0 bytes): the upload or the export before it may have failed, try it again."""

    code = "empty"


class NoText(DocumentError):
    """The document holds no text: check that it is the right file."""

    code = "no_text"


class NeedsOcr(DocumentError):
    """The pages are pictures of text: run the file through text recognition (OCR) and upload the result."""

    code = "needs_ocr"


class TooLarge(DocumentError):
    """The document is too large: split it and upload the parts."""

    code = "too_large"


class TooComplex(DocumentError):
    """The document is nested too deeply or unpacks to too much: save it again, or split it into parts."""

    code = "too_complex"


class Bomb(TooComplex):
    """The file unpacks to many times its size, as no ordinary document does: save it again."""
