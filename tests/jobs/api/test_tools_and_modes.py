"""GET /api/tools and GET /api/modes"""

from django.test import Client

from workflows.models import Mode


def test_tools(as_alice: Client) -> None:
    body = as_alice.get("/api/tools/").json()
    listed = {tool["tool"]: tool for tool in body["tools"]}
    assert {"HTTP_REQUEST", "HUBSPOT_GET_CONTACTS", "DOCUMENT_INGEST", "DOCUMENT_READ"} <= listed.keys()
    schema = listed["HTTP_REQUEST"]["arguments"]
    assert schema["type"] == "object"
    assert schema["required"] == ["url"]
    assert "timeoutSeconds" in schema["properties"]
    assert body["nextCursor"] is None


def test_pages_of_tools(as_alice: Client) -> None:
    slugs = [tool["tool"] for tool in as_alice.get("/api/tools").json()["tools"]]
    first = as_alice.get("/api/tools?limit=2").json()
    rest = as_alice.get(f"/api/tools?cursor={first['nextCursor']}").json()
    assert [tool["tool"] for tool in first["tools"] + rest["tools"]] == slugs
    assert (len(first["tools"]), rest["nextCursor"]) == (2, None)
    assert as_alice.get("/api/tools?cursor=x").status_code == 400
    assert as_alice.get(f"/api/modes?cursor={first['nextCursor']}").status_code == 400


def test_modes(as_alice: Client) -> None:
    Mode.objects.create(name="Narrow", tools=["DOCUMENT_READ"])
    body = as_alice.get("/api/modes").json()
    modes = {mode["mode"]: mode for mode in body["modes"]}
    assert list(modes) == ["Admin", "General", "Narrow", "Sales"]
    assert modes["Narrow"]["tools"] == ["DOCUMENT_READ"]
    assert "HTTP_REQUEST" in modes["Sales"]["tools"]
    page = as_alice.get("/api/modes?limit=3").json()
    assert [mode["mode"] for mode in page["modes"]] == ["Admin", "General", "Narrow"]
    rest = as_alice.get(f"/api/modes?cursor={page['nextCursor']}").json()
    assert [mode["mode"] for mode in rest["modes"]] == ["Sales"]


def test_anonymous_callers_are_refused(client: Client) -> None:
    assert client.get("/api/tools").status_code == 401
    assert client.get("/api/modes").status_code == 401
