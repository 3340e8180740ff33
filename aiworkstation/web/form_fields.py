"""Fields of the pages' forms. Their errors say in plain words what to enter."""

from typing import Any

from django import forms


class Line(forms.CharField):
    default_error_messages = {
        "required": "Fill in this field.",
        "max_length": "At most %(limit_value)d characters are allowed. You entered %(show_value)d.",
    }


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
