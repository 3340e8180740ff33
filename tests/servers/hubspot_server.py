"""A server that speaks HubSpot's CRM v3 contacts API: token, paging, properties, 429 with Retry-After.

`with HubspotServer(total=250) as server:`, or by hand `python -m tests.servers.hubspot_server --port 9200`.
"""

import argparse
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.local import Handler, LocalServer

TOKEN = "pat-test-0123456789"
PEOPLE = [
    ("Ada", "Lovelace", "customer", "London", "12500.50"),
    ("Alan", "Turing", "lead", "Manchester", "800"),
    ("Grace", "Hopper", "customer", "New York", "31000.25"),
    ("Edsger", "Dijkstra", "opportunity", "Rotterdam", "4200"),
    ("Barbara", "Liskov", "customer", "Boston", "18900"),
]


class HubspotServer(LocalServer):
    """Answers the first `busy` requests with 429 and `retry_after`, and then with `instead` if that is set."""

    instead: tuple[int, dict[str, Any]] | None = None

    def __init__(self, port: int = 0, *, total: int = 250, busy: int = 0, retry_after: str = "1") -> None:
        super().__init__(HubspotHandler, port)
        self.total = total
        self.busy = busy
        self.retry_after = retry_after


class HubspotHandler(Handler):
    server: HubspotServer

    def do_GET(self) -> None:
        request = self.read_request()
        parts = urlsplit(self.path)
        if request["headers"].get("authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"status": "error", "category": "INVALID_AUTHENTICATION", "message": "no"})
        elif parts.path != "/crm/v3/objects/contacts":
            self.answer(404, {"status": "error", "message": "unknown path"})
        elif self.server.busy > 0:
            self.server.busy -= 1
            limits = {"retry-after": self.server.retry_after}
            self.answer(429, {"status": "error", "category": "RATE_LIMITS", "message": "limit"}, limits)
        elif self.server.instead:
            self.answer(*self.server.instead, {"retry-after": self.server.retry_after})
        else:
            self._page({name: values[0] for name, values in parse_qs(parts.query).items()})

    def _page(self, query: dict[str, str]) -> None:
        limit, start = int(query.get("limit", "10")), int(query.get("after", "0"))
        if limit > 100:
            self.answer(400, {"status": "error", "message": "limit must be at most 100"})
            return
        end = min(start + limit, self.server.total)
        names = [name for name in query.get("properties", "").split(",") if name]
        body: dict[str, Any] = {"results": [_contact(number, names) for number in range(start, end)]}
        if end < self.server.total:
            body["paging"] = {"next": {"after": str(end), "link": f"{self.server.url}?after={end}"}}
        self.answer(200, body)


def _contact(number: int, names: list[str]) -> dict[str, Any]:
    first, last, stage, city, revenue = PEOPLE[number % len(PEOPLE)]
    known: dict[str, Any] = {
        "firstname": first,
        "lastname": last,
        "email": f"{first}.{number}@example.com".lower(),
        "createdate": f"2025-{number % 12 + 1:02}-01T08:00:00Z",
        "lifecyclestage": stage,
        "city": city,
        "annualrevenue": revenue,
    }
    chosen = names or [
        "firstname",
        "lastname",
        "email",
        "createdate",
        "lifecyclestage",
        "city",
        "annualrevenue",
    ]
    return {
        "id": str(1000 + number),
        "properties": {name: known.get(name) for name in chosen},
        "createdAt": known["createdate"],
        "updatedAt": known["createdate"],
        "archived": False,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--total", type=int, default=250)
    options = parser.parse_args()
    with HubspotServer(options.port, total=options.total) as server:
        print(f"HUBSPOT_BASE_URL={server.url} HUBSPOT_ACCESS_TOKEN={TOKEN}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
