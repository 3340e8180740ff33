"""Bases of the API's serializers: camelCase by `source=`, unknown keys refused, types taken as they are."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import SkipField
from rest_framework.request import Request
from rest_framework.settings import api_settings

Errors = dict[str, Any]
"""Details of errors by the wire's names, nested as the input is."""


def invalid(message: str, code: str = "invalid") -> list[ErrorDetail]:
    """The details of one error, for an Errors entry."""
    return [ErrorDetail(message, code)]


class StrictSerializer(serializers.Serializer[Any]):
    """Reads a JSON object, and names everything that is wrong with it at once, unknown keys too."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            wrong = invalid("Must be a JSON object.")
            raise ValidationError(wrong if self.parent else {api_settings.NON_FIELD_ERRORS_KEY: wrong})
        unknown = [str(key) for key in data if key not in self.fields]
        errors: Errors = {key: invalid("Unknown key.", "unknown") for key in unknown}
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

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        """Rules over several fields: adds to `value` and to `errors`.

        `data` is as it was sent, `value` holds what is right by itself, `errors` what is wrong so far.
        """


class Nothing(StrictSerializer):
    """The body or the query string of a request that says all by its address: no keys at all."""


def read_query(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """Returns the validated query string of the request. Raises ValidationError."""
    query = serializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


class Text(serializers.CharField):
    """A JSON string. Unlike CharField it takes no numbers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Name(Text):
    """A string that may not be blank."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": True, **kwargs})


class Whole(serializers.IntegerField):
    """A JSON integer. Unlike IntegerField it takes no strings."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    """A JSON number. Unlike FloatField it takes no strings and no booleans."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(data)
        except OverflowError:
            self.fail("max_value", max_value=self.max_value)


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
    """Any JSON, for answers."""

    def to_representation(self, value: Any) -> Any:
        return value


class Time(serializers.DateTimeField):
    """`2026-01-01T00:00:00.123Z`."""

    def to_representation(self, value: Any) -> str:
        return wire_time(value)


class OrNull(serializers.Field[Any, Any, str | None, Any]):
    """Text that is null on the wire where it is empty."""

    def to_representation(self, value: Any) -> str | None:
        return str(value) or None


def wire_time(value: datetime) -> str:
    """UTC, milliseconds, `Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """From one moment to another; null where one is missing."""
    if start is None or end is None:
        return None
    return max(0, round((end - start).total_seconds() * 1000))
