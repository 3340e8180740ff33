"""Placeholders `{{…}}` in users' texts. Only `{{secret.NAME}}` is replaced.

Anything else would silently stay as it is, so it is refused when a job starts.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

SECRET = re.compile(r"\{\{\s*secret\.([A-Za-z0-9_]+)\s*\}\}")
_ANY = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_OUTPUTS = re.compile(r"\$?(?:steps?|inputs?|outputs?|previous|prev)(?:[.\[ ].*)?", re.IGNORECASE | re.DOTALL)
MAX_SHOWN = 80

Path = tuple[str | int, ...]


def not_secret(value: Any) -> Iterator[tuple[Path, str]]:
    """Yields each `{{…}}` in this JSON that is not a secret, with its path. Keys count too."""
    if isinstance(value, str):
        if found := _ANY.search(SECRET.sub(" ", value)):
            yield (), found[0]
    elif isinstance(value, dict):
        for key, item in value.items():
            for inner in (key, item):
                yield from (((key, *path), text) for path, text in not_secret(inner))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from (((index, *path), text) for path, text in not_secret(item))


def misplaced_secrets(value: Any) -> Iterator[Path]:
    """Yields the path of each key in this JSON that names a secret. Secrets can be in values only."""
    if isinstance(value, dict):
        for key, item in value.items():
            if SECRET.search(str(key)):
                yield (key,)
            yield from ((key, *path) for path in misplaced_secrets(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ((index, *path) for path in misplaced_secrets(item))


def misplaced_in_url(url: str) -> bool:
    """Whether a secret is anywhere in the URL but in a value of its query."""
    base, _, query = url.partition("?")
    query, _, fragment = query.partition("#")
    names = (pair.partition("=")[0] for pair in query.split("&"))
    return any(SECRET.search(part) for part in (base, fragment, *names))


def step_reference(text: str, step_names: Collection[str] = ()) -> str:
    """Returns the first `{{…}}` that means the output of a step, such as `{{steps.Read.output}}` or `{{Read}}`.

    Other braces may be what a prompt is about, such as a template. Returns an empty text if there is none.
    """
    for found in _ANY.finditer(text):
        name = found[1].strip()
        is_step = any(name == step or name.startswith((f"{step}.", f"{step}[")) for step in step_names if step)
        if is_step or _OUTPUTS.fullmatch(name):
            return found[0]
    return ""


def argument_message(placeholder: str) -> str:
    return (
        f"{_shown(placeholder)} is not replaced: the tool would get this text as it is. The only placeholder is "
        "{{secret.NAME}}. To use the output of another step, leave out the arguments and describe what the step is to "
        "do: a model then chooses them from the outputs of the steps in dependsOn."
    )


def prompt_message(placeholder: str) -> str:
    return (
        f"{_shown(placeholder)} is not replaced. A model gets the outputs of the steps in dependsOn without it: name "
        "those steps there, and refer to their outputs in plain words."
    )


def _shown(placeholder: str) -> str:
    return placeholder if len(placeholder) <= MAX_SHOWN else f"{placeholder[: MAX_SHOWN - 3]}…}}}}"
