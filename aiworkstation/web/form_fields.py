"""Fields of the pages' forms. Their errors say in plain words what to enter."""

import re
from typing import Any

from django import forms


class Line(forms.CharField):
    default_error_messages = {
        "required": "Fill in this field.",
        "max_length": "At most %(limit_value)d characters are allowed. You entered %(show_value)d.",
    }


class Paragraph(Line):
    """A text of several lines, with the ends of lines of JSON: browsers send others."""

    widget = forms.Textarea({"rows": 2})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return re.sub(r"\r\n?", "\n", super().to_python(value) or "")


class WholeNumber(forms.IntegerField):
    default_error_messages = {
        "required": "Enter a whole number.",
        "invalid": "Enter a whole number.",
        "min_value": "Enter a number greater than or equal to %(limit_value)s.",
        "max_value": "Enter a number less than or equal to %(limit_value)s.",
    }


class Choice(forms.ChoiceField):
    """The error lists the choices."""

    def validate(self, value: Any) -> None:
        if value and not self.valid_value(value):
            known = ", ".join(str(name) for name, _ in self.widget.choices if name)
            raise forms.ValidationError(f"There is no {value}. Choose one of: {known}.", code="invalid_choice")
        super().validate(value)
