"""The base classes of the API's serializers: they refuse unknown keys and convert no types."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, UnsupportedMediaType, ValidationError
from rest_framework.fields import SkipField
from rest_framework.request import Request, is_form_media_type
from rest_framework.settings import api_settings

MAX_ERRORS = 100
"""How many errors of one list or object are collected, and how many an answer has in all."""
MAX_CHOSEN = 100
"""How many values one filter of a list may have."""
Errors = dict[str, Any]
"""Details of errors by the names on the wire, nested like the input."""


def invalid(message: str, code: str = "invalid") -> list[ErrorDetail]:
    """Returns the details of one error, for an entry of Errors."""
    return [ErrorDetail(message, code)]


class StrictSerializer(serializers.Serializer[Any]):
    """Reads a JSON object and reports all of its errors at once, unknown keys included."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            wrong = invalid("Must be a JSON object.")
            raise ValidationError(wrong if self.parent else {api_settings.NON_FIELD_ERRORS_KEY: wrong})
        unknown = [str(key) for key in islice((key for key in data if key not in self.fields), MAX_ERRORS)]
        errors: Errors = {key: invalid(self._unknown_key_message(), "unknown") for key in unknown}
        value: dict[str, Any] = {}
        for field in self._writable_fields:
            try:
                value[str(field.source)] = field.run_validation(field.get_value(data))
            except ValidationError as error:
                errors[str(field.field_name)] = error.detail
            except SkipField:
                pass
        self.cross_check(data, value, errors)
        if errors:
            raise ValidationError(errors)
        return value

    def _unknown_key_message(self) -> str:
        known = ", ".join(self.known_keys())
        return f"Unknown key. Known keys: {known}." if known else "Unknown key. This request takes none."

    def known_keys(self) -> list[str]:
        """The keys that the error for an unknown key lists."""
        return [str(field.field_name) for field in self._writable_fields]

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        """Checks rules over several fields. Override it to add to `value` and to `errors`.

        `data` is the input as sent, `value` the valid fields, `errors` the errors so far.
        """


class NoParameters(StrictSerializer):
    """The body or query string of a request that takes no parameters: every key is an error."""


def read_query(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """Returns the validated query string of the request. Raises ValidationError."""
    query = serializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def read_body(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """Returns the validated body of the request. Raises ValidationError."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def read_optional_body(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The same for a request that may have no body: it is then empty."""
    return {} if has_no_body(request) else read_body(serializer, request)


def has_no_body(request: Request) -> bool:
    """Many clients send an empty form when they mean no body. Raises UnsupportedMediaType for any other form."""
    if not is_form_media_type(request.content_type):
        return False
    if request._request.POST or request._request.FILES:
        raise UnsupportedMediaType(request.content_type)
    return True


class BoundedList(serializers.ListField):
    """A JSON array. Its length is checked before its items, and MAX_ERRORS wrong items are enough."""

    default_error_messages = {
        "min_length": "Must have {min_length} or more entries.",
        "max_length": "At most {max_length} entries are allowed.",
    }

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        self.most = max_length
        super().__init__(max_length=max_length, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self.most:
            allowed = str(self.error_messages["max_length"]).format(max_length=self.most)
            raise ValidationError(invalid(f"{allowed} You sent {len(data):,}.", "max_length"))
        return list(super().to_internal_value(data))

    def run_child_validation(self, data: Any) -> list[Any]:
        values: list[Any] = []
        errors: dict[Any, Any] = {}
        for index, item in enumerate(data):
            try:
                values.append(self.child.run_validation(item))
            except ValidationError as error:
                errors[index] = error.detail
                if len(errors) == MAX_ERRORS:
                    break
        if errors:
            raise ValidationError(errors)
        return values


class Text(serializers.CharField):
    """A JSON string. Unlike CharField it accepts no numbers."""

    default_error_messages = {
        "blank": "Must not be empty.",
        "max_length": "At most {max_length} characters are allowed.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:  # before a subclass quotes it in an error
            self.fail("max_length", max_length=self.max_length)
        return str(super().to_internal_value(data))


class Name(Text):
    """A string that may not be blank."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": True, **kwargs})


LIMITS = {"min_value": "Must be {min_value} or more.", "max_value": "Must be {max_value} or less."}


class Integer(serializers.IntegerField):
    """A JSON integer. Unlike IntegerField it accepts no strings."""

    default_error_messages = {"invalid": "Must be a whole number.", **LIMITS}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    """A JSON number. Unlike FloatField it accepts no strings and no booleans."""

    default_error_messages = {"invalid": "Must be a number.", **LIMITS}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(data)
        except OverflowError:
            self.fail("max_value", max_value=self.max_value)


class Boolean(serializers.Field[bool, Any, Any, Any]):
    """A JSON boolean."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Choice(serializers.ChoiceField):
    """One of a list of strings. The error lists them."""

    default_error_messages = {"invalid_choice": '"{input}" is not a valid choice. Choose one of: {known}.'}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        super().fail(key, known=", ".join(self.choice_strings_to_values), **kwargs)


class JsonObject(serializers.Field[dict[str, Any], Any, Any, Any]):
    """Any JSON object."""

    default_error_messages = {"invalid": "Must be a JSON object."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Json(serializers.Field[Any, Any, Any, Any]):
    """Any JSON, in answers."""

    def to_representation(self, value: Any) -> Any:
        return value


class Time(serializers.DateTimeField):
    """A time such as `2026-01-01T00:00:00.123Z`."""

    def to_representation(self, value: Any) -> str:
        return wire_time(value)


class NullIfEmpty(serializers.Field[Any, Any, str | None, Any]):
    """Text in answers. Empty text is null on the wire."""

    def to_representation(self, value: Any) -> str | None:
        return str(value) or None


def wire_time(value: datetime) -> str:
    """Returns the time in UTC with milliseconds and `Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """Returns the milliseconds between two times, None if one is missing."""
    if start is None or end is None:
        return None
    return max(0, round((end - start).total_seconds() * 1000))
