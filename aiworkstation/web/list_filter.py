"""The filters above a list, from the page's query string and back to it."""

from dataclasses import dataclass, fields
from typing import ClassVar, Self
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import reverse

from aiworkstation.web.requests import Request, query_text


@dataclass(frozen=True)
class ListFilter:
    """A subclass adds a field for each parameter: a string, empty by default. `url_name` is its page."""

    url_name: ClassVar[str]

    user: User

    @classmethod
    def of(cls, request: Request) -> Self:
        return cls(request.user, **{name: query_text(request, name) for name in cls.names()})

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls) if field.name != "user"]

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        """The values and labels of the parameters that are chosen from a list."""
        return {}

    def unknown_choice(self) -> str:
        """Returns a message if a value is not in its list, as in an old or mistyped address. Empty if all are."""
        for name, choices in self.choices().items():
            known = [value for value, _ in choices]
            if getattr(self, name) not in known:
                return f"There is no {name} {getattr(self, name)}. Choose one of: {', '.join(filter(None, known))}."
        return ""

    @property
    def chosen(self) -> dict[str, str]:
        return {name: value for name in self.names() if (value := getattr(self, name))}

    def url(self, **more: str) -> str:
        """Returns the address of the list with these filters and `more` parameters."""
        return f"{reverse(self.url_name)}?{urlencode(self.chosen | more)}"
