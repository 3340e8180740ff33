"""HUBSPOT_GET_CONTACTS: gets contacts from HubSpot's CRM API v3 (GET /crm/v3/objects/contacts)."""

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.conf import settings
from pydantic import Field

from workflows.errors import NotConfigured, PermanentError, StepError
from workflows.network import http_client
from workflows.tools import Arguments, StepContext, Tool, register

PAGE_SIZE = 100  # HubSpot's own limit
# HubSpot's own statuses: the contact is locked; the account is being moved to another data center.
BUSY = (423, 477)
PERMANENT = {"VALIDATION_ERROR", "INVALID_AUTHENTICATION", "MISSING_SCOPES", "OBJECT_NOT_FOUND"}
REMEDIES = {
    401: ("unauthorized", "HubSpot refused HUBSPOT_ACCESS_TOKEN: check that it is still valid."),
    403: ("forbidden", "HUBSPOT_ACCESS_TOKEN lacks the scope crm.objects.contacts.read."),
}


class HubspotGetContactsArguments(Arguments):
    limit: int = Field(100, ge=1, le=10_000, description="the largest number of contacts in total")
    properties: list[str] = Field(
        default_factory=list, description="names of contact properties; default: HubSpot's own selection"
    )
    after: str | None = Field(None, description="the `next` of an earlier output")


@register
class HubspotGetContacts(Tool):
    slug = "HUBSPOT_GET_CONTACTS"
    description = "Gets contacts from HubSpot."
    Arguments: ClassVar[type[Arguments]] = HubspotGetContactsArguments

    def check_configured(self) -> None:
        if not settings.CONFIG.hubspot_access_token:
            raise NotConfigured(
                "HubSpot is not configured: set HUBSPOT_ACCESS_TOKEN to the token of a private app"
                " with the scope crm.objects.contacts.read."
            )

    async def run(self, context: StepContext, arguments: HubspotGetContactsArguments) -> dict[str, Any]:
        contacts: list[dict[str, Any]] = []
        cursor = arguments.after
        while (missing := arguments.limit - len(contacts)) > 0:
            page, cursor = await _get_page(min(missing, PAGE_SIZE), cursor, arguments.properties)
            contacts += page[:missing]
            context.report(100 * len(contacts) // arguments.limit, f"{len(contacts)} contacts")
            if not page or cursor is None:
                break
        return {"contacts": contacts, "total": len(contacts), "next": cursor}


async def _get_page(limit: int, after: str | None, properties: list[str]) -> tuple[list[dict[str, Any]], str | None]:
    """At most `limit` contacts, and a cursor if HubSpot has more of them."""
    query = {"limit": str(limit), "properties": ",".join(properties), "after": after or ""}
    base, token = settings.CONFIG.hubspot_base_url.rstrip("/"), settings.CONFIG.hubspot_access_token
    url = f"{base}/crm/v3/objects/contacts?{urlencode({name: value for name, value in query.items() if value})}"
    response = await http_client.send(
        http_client.Request(
            "GET",
            url,
            headers={"authorization": f"Bearer {token}"},
            trusted=frozenset({http_client.host_and_port(url)}),
            sensitive=frozenset({token}),
        )
    )
    if response.status in REMEDIES:
        code, remedy = REMEDIES[response.status]
        raise PermanentError(remedy, code=code)
    http_client.raise_for_status(response, also_busy=BUSY)
    body = _json_object(response)
    if body.get("status") == "error":
        raise _error(response, body)
    results, paging = body.get("results", []), body.get("paging") or {}
    next_page = (paging.get("next") or {}) if isinstance(paging, dict) else None
    is_page = isinstance(results, list) and all(isinstance(contact, dict) for contact in results)
    if not is_page or not isinstance(next_page, dict):
        raise _not_hubspot(response)
    return results, next_page.get("after")


def _error(response: http_client.Response, body: dict[str, Any]) -> StepError:
    """HubSpot reports some errors with status 200."""
    category = str(body.get("category", ""))
    message = f"HubSpot reports an error: {str(body.get('message', category))[:300]}"
    if category == "RATE_LIMITS":
        return http_client.busy(response, message, "hubspot_error")
    return StepError(message, code="hubspot_error", retryable=category not in PERMANENT)


def _json_object(response: http_client.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _not_hubspot(response)
    return body


def _not_hubspot(response: http_client.Response) -> StepError:
    return StepError(f"{response.host} sent something that is not HubSpot's API.", code="bad_answer")
