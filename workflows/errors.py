"""Errors that a step may raise, and what the engine does about each."""

from collections.abc import Sequence


class StepError(Exception):
    """The step failed."""

    code = "failed"
    retryable = True
    retry_delays: Sequence[float] = ()
    """Seconds before each further attempt. The last number repeats. By default, the retry policy decides."""

    def __init__(self, message: str = "", *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message or type(self).__doc__ or "")
        self.code = code or self.code
        self.retryable = self.retryable if retryable is None else retryable

    @property
    def message(self) -> str:
        return str(self)


class PermanentError(StepError):
    """The step cannot succeed, however often it is repeated."""

    retryable = False


class BadArguments(PermanentError):
    """The arguments do not fit the tool."""

    code = "bad_arguments"


class NotConfigured(PermanentError):
    """A setting that this step needs is missing."""

    code = "not_configured"


class TryLater(StepError):
    """The server is busy or away (429, 503, a refused connection): a wait, not an attempt.

    `delay` is the number of seconds that the server asked for (Retry-After), or None for the engine's own back-off.
    `cooldown` names what all workers should leave alone meanwhile, such as `model:<url>:<model>`.
    """

    code = "try_later"

    def __init__(
        self, message: str = "", *, code: str | None = None, delay: float | None = None, cooldown: str = ""
    ) -> None:
        super().__init__(message, code=code)
        self.delay = delay
        self.cooldown = cooldown


class ChildFailed(StepError):
    """A function raised in its child process.

    `error_class` is the exception's qualified name. `code` and message are those of the exception.
    """

    retryable = False

    def __init__(self, message: str, *, code: str, error_class: str = "", retryable: bool = False) -> None:
        super().__init__(message, code=code, retryable=retryable)
        self.error_class = error_class


class ChildCrashed(StepError):
    """The child process died without an answer: a crash, not an attempt."""

    code = "crashed"
