"""The labels that users put on documents and jobs: project, tags and mode. How requests and forms may write them."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef
from rest_framework import serializers

from aiworkstation.web.serializers import BoundedList, Name, Text
from workflows.models import Mode

MAX_PROJECT_ID = 200
MAX_TAG = 100
MAX_TAGS = 100


class ProjectIdField(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_PROJECT_ID, allow_blank=True, source="project_id", **kwargs)


class TagsField(BoundedList):
    """A list of tags. Each tag is kept once, in the given order."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=Name(max_length=MAX_TAG), max_length=MAX_TAGS, required=False, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class FormTagsField(TagsField):
    """The tags of a multipart form: a field that is repeated, has commas, or both."""

    def to_internal_value(self, data: Any) -> list[str]:
        return super().to_internal_value(split_tags(data))


def split_tags(texts: Iterable[Any]) -> list[str]:
    return [tag for text in texts for part in str(text).split(",") if (tag := part.strip())]


class ModeField(serializers.Field[Mode, Any, Any, Any]):
    """The name of a mode that `context["user"]` may use. The validated value is the mode's row.

    A mode that is granted only to others looks like one that does not exist.
    """

    default_error_messages = {"unknown": "There is no mode {name}. Choose one of: {known}."}

    def to_internal_value(self, data: Any) -> Mode:
        name = Name(max_length=60).run_validation(data)
        usable = Mode.objects.usable_by(self.context["user"])
        mode = usable.filter(name=name).first()
        if mode is None:
            known = ", ".join(usable.values_list("name", flat=True))
            self.fail("unknown", name=name, known=known)
        return mode


class JobModeField(ModeField):
    """The same for a job, whose mode is the default one if it names none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not serializers.empty:
            return super().run_validation(data)
        usable = Mode.objects.usable_by(self.context["user"]).filter(pk=OuterRef("pk"))
        default = Mode.objects.filter(name=Mode.DEFAULT).annotate(is_usable=Exists(usable)).first()
        if default is not None and not default.is_usable:  # type: ignore[attr-defined]  # annotated
            return super().run_validation(Mode.DEFAULT)
        return default or Mode(name=Mode.DEFAULT)


def mode_choices(user: User) -> list[tuple[str, str]]:
    """Returns the choices of a form field."""
    return [(name, name) for name in Mode.objects.usable_by(user).values_list("name", flat=True)]


class ModeFormMixin:
    """For forms with a field `mode`, which lists the modes that `user` may use."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mode"].choices = mode_choices(user)  # type: ignore[attr-defined]
