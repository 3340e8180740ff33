"""Refusals."""

from django.http import Http404


class NotYours(Http404):
    """It is there, and not this user's: for the caller a plain 404, for the audit trail a refusal.

    `refused_object` is `<noun>:<id>`.
    """

    def __init__(self, refused_object: str) -> None:
        super().__init__("Not found.")
        self.refused_object = refused_object
