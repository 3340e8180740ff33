"""The builder: the form of a workflow as a whole."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.http import QueryDict
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException

from jobs.pages.builder.argument_fields import SecretHint
from jobs.pages.builder.job_form import JobForm, job_texts
from jobs.pages.builder.step_form import Json, StepForm, step_texts
from workflows.models import Mode, SecretGrant

MOST_STEPS = 50
"""Longer workflows are edited as JSON: a page with a field for everything would be too large."""
ROW_KEY = re.compile(r"[0-9]{1,9}")
MAY_BE_EMPTY = ("workflowDescription", "projectId", "tags", "description")
"""Keys that mean nothing if they are empty."""


class NoField(Exception):
    """The form cannot show this JSON. The message says why."""


class Builder:
    """A form for the job and a row for each step. Actions change the rows, and keep what was entered."""

    def __init__(self, user: User, job: JobForm, steps: list[StepForm]) -> None:
        self.user = user
        self.job = job
        self.steps = steps
        secrets = _Secrets(user, str(job["mode"].value() or ""))
        for number, row in enumerate(steps, start=1):
            row.connect(number, [other for other in steps if other is not row], secrets)

    @classmethod
    def empty(cls, user: User) -> "Builder":
        return cls(user, JobForm(user), [StepForm("1", user)])

    @classmethod
    def of_form(cls, user: User, data: QueryDict) -> "Builder":
        """Reads what was sent. `step` is repeated: the keys of the rows in their order."""
        keys = [key for key in dict.fromkeys(data.getlist("step")) if ROW_KEY.fullmatch(key)]
        return cls(user, JobForm(user, data), [StepForm(key, user, data) for key in keys[:MOST_STEPS]])

    @classmethod
    def of_body(cls, user: User, body: Json) -> "Builder":
        """Raises NoField if the form would lose or change anything of a job's JSON."""
        payload = body.get("payload")
        if body.get("jobType") != "workflow" or not isinstance(payload, dict):
            raise NoField("Only workflows have a form.")
        steps = payload.get("steps", [])
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise NoField("steps is not a list of objects.")
        if len(steps) > MOST_STEPS:
            raise NoField(f"The form has at most {MOST_STEPS} steps, and this workflow has {len(steps)}.")
        keys = {str(step.get("name", "")).strip(): str(number) for number, step in reversed([*enumerate(steps, 1)])}
        rows = [
            StepForm(str(number), user, initial=step_texts(step, keys, user))
            for number, step in enumerate(steps, start=1)
        ]
        builder = cls(user, JobForm(user, initial=job_texts(body, payload)), rows)
        if lost := next(_differences(_plain(body), builder._as_sent()), ""):
            raise NoField(f"The form has no field for {lost} as it is. Change it here, or remove it.")
        return builder

    def _as_sent(self) -> Json:
        """The JSON that this form would send if nothing was changed in it."""
        sent = QueryDict(mutable=True)
        forms: list[JobForm | StepForm] = [self.job, *self.steps]
        for form in forms:
            for name, value in form.entered().items():
                values = value if isinstance(value, list) else [] if value is None else [value]
                sent.setlist(form.add_prefix(name), values)
        sent.setlist("step", [row.key for row in self.steps])
        copy = Builder.of_form(self.user, sent)
        return _plain(copy.body()) if copy.is_valid() else {}

    def is_valid(self) -> bool:
        """Whether the text of every field can be read. `place_errors` adds what the API says."""
        return all(form.is_valid() for form in (self.job, *self.steps))

    def body(self) -> Json:
        """Returns the body of the API call that starts the job. Rows in which nothing was entered are no steps."""
        names = {row.key: row.cleaned_data["name"] for row in self.steps}
        steps = [row.step(names) for row in self.filled]
        return {"jobType": "workflow", "payload": {**self.job.payload(), "steps": steps}, **self.job.options()}

    @property
    def filled(self) -> list[StepForm]:
        return [row for row in self.steps if not row.is_empty]

    def place_errors(self, error: APIException) -> None:
        """Puts each error of the API beside its field, and the others at the top."""
        rows = self.filled
        for found in flatten_errors(error.detail):
            is_missing = found.code in ("required", "blank")
            match path := (found.attr or "").split("."):
                case ["payload", "steps", number, *inner] if number.isdecimal() and int(number) < len(rows):
                    rows[int(number)].place_error(inner, str(found.detail), is_missing=is_missing)
                case _:
                    self.job.place_error(path, str(found.detail), is_missing=is_missing)

    @property
    def may_grow(self) -> bool:
        return len(self.steps) < MOST_STEPS

    def after(self, action: str) -> "Builder":
        """Returns the form after an action on its rows, such as `add`, `up-2` or `remove-2` (a row's key).

        Nothing is checked. Other actions change nothing.
        """
        verb, _, key = action.partition("-")
        rows = [(row.key, row.entered()) for row in self.steps]
        place = next((place for place, (known, _) in enumerate(rows) if known == key), None)
        focus = ("", "")
        if verb == "add" and self.may_grow:
            focus = _add(rows, self._free_key())
        elif place is not None and (change := _CHANGES.get(verb)) and (verb != "copy" or self.may_grow):
            focus = change(rows, place, self._free_key())
        steps = [StepForm(known, self.user, initial=entered) for known, entered in rows]
        for row in steps:
            row.put_focus(focus[1] if row.key == focus[0] else "")
        return Builder(self.user, JobForm(self.user, initial=self.job.entered()), steps)

    def _free_key(self) -> str:
        return str(max((int(row.key) for row in self.steps), default=0) + 1)


Rows = list[tuple[str, dict[str, Any]]]
Focus = tuple[str, str]
"""The key of a row, and what gets the focus in it: `name`, `up` or `down`."""
Change = Callable[[Rows, int, str], Focus]
"""Changes the rows, and says where the focus goes. The last argument is a free key."""


def _add(rows: Rows, free: str) -> Focus:
    rows.append((free, {}))
    return free, "name"


def _up(rows: Rows, place: int, free: str) -> Focus:
    return _swap(rows, place, max(place - 1, 0), "up")


def _down(rows: Rows, place: int, free: str) -> Focus:
    return _swap(rows, place, min(place + 1, len(rows) - 1), "down")


def _swap(rows: Rows, place: int, other: int, verb: str) -> Focus:
    """The focus follows the row. At either end, its button in this direction is disabled."""
    rows[place], rows[other] = rows[other], rows[place]
    if other in (0, len(rows) - 1):
        verb = "down" if other == 0 else "up"
    return rows[other][0], verb


def _remove(rows: Rows, place: int, free: str) -> Focus:
    """There is always a row."""
    del rows[place]
    if not rows:
        return _add(rows, free)
    return rows[min(place, len(rows) - 1)][0], "name"


def _copy(rows: Rows, place: int, free: str) -> Focus:
    entered = rows[place][1]
    name = f"{entered['name']} (copy)" if entered.get("name") else ""
    rows.insert(place + 1, (free, {**entered, "name": name}))
    return free, "name"


_CHANGES: dict[str, Change] = {"up": _up, "down": _down, "remove": _remove, "copy": _copy}


class _Secrets:
    """The secrets that arguments may contain. The grants are read when a step asks for them first."""

    def __init__(self, user: User, mode: str) -> None:
        self._user = user
        self._mode = mode
        self._grants: list[SecretGrant] | None = None

    def __call__(self, argument: str) -> list[SecretHint]:
        if self._grants is None:
            self._grants = list(SecretGrant.objects.for_job(self._mode, self._user.pk))
        found = [
            SecretHint(_sample(place, grant.secret), ", ".join(grant.hosts))
            for grant in self._grants
            for place in grant.places
            if _argument_of(place, argument)
        ]
        return list(dict.fromkeys(found))


def _argument_of(place: str, argument: str) -> bool:
    """Whether a place of a grant, such as `header:authorization`, is in this argument."""
    kind = place.partition(":")[0]
    return {"headers": "header", "url": "query"}.get(argument, "body") == kind


def _sample(place: str, secret: str) -> str:
    kind, _, name = place.partition(":")
    placeholder = f"{{{{secret.{secret}}}}}"
    return {"header": f"{name}: {placeholder}", "query": f"{name}={placeholder}"}.get(kind, placeholder)


def _plain(body: Json) -> Json:
    """The JSON without keys that mean nothing, and with the default mode."""
    payload: Json = {"mode": Mode.DEFAULT} | _without_empty(body["payload"])
    steps = [_without_empty(step) for step in payload.get("steps", [])]
    return {**body, "payload": payload | {"steps": steps}}


def _without_empty(found: Json) -> Json:
    return {key: value for key, value in found.items() if value or key not in MAY_BE_EMPTY}


def _differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """The paths at which two JSON values differ. A value is named, not what is in it, if only one has it."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*wanted, *found]):
            inner = f"{path}.{key}".lstrip(".")
            if key not in found or key not in wanted:
                yield inner
            else:
                yield from _differences(wanted[key], found[key], inner)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(one, other, f"{path}.{place}")
    elif json.dumps(wanted) != json.dumps(found):
        yield path
