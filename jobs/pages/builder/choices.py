"""The choices of a field that the API checks."""

Choices = list[tuple[str, str]]


def with_unknown(choices: Choices, value: str) -> Choices:
    """The choices, and a value that is none of them: a browser would send the first choice instead of it."""
    return choices if value in dict(choices) else [*choices, (value, value)]
