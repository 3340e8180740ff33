"""The request attributes from which an audit event of a refusal is written."""

from django.http import HttpRequest


class AuditedRequest(HttpRequest):
    """An attribute exists once the code that sets it has run."""

    request_id: str
    """Set by `web.request_id.RequestId`."""
    refused_object: str
    """Set by error handlers: `<noun>:<id>` of the object that the caller may not have."""
    refused_status: int
    """Set by a view whose answer has another status than the refusal in it: the status of the refusal."""
    is_refusal_recorded: bool
    """Set by a view whose refusal has an audit event of its own."""
