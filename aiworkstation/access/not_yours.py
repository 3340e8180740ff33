"""The error for another user's object."""

from django.http import Http404


class NotYours(Http404):
    """The object exists but belongs to another user. The caller sees a plain 404. The audit trail gets an event.

    `refused_object` is `<noun>:<id>`.
    """

    def __init__(self, refused_object: str) -> None:
        super().__init__("Not found.")
        self.refused_object = refused_object
