"""Reads the text of a page and the addresses that it polls."""

import html
import re
from typing import Any

Response = Any
"""The test client's response. The type checker knows it only under a private name."""
IDS = re.compile(r'id="([^"]+)"[^>]*hx-swap-oob="true"')


def text(response: Response) -> str:
    return str(response.content.decode())


def poll_url(response: Response, name: str) -> str:
    """Returns the address that the element with this id polls."""
    found = re.search(rf'<div id="{name}"[^>]*?hx-get="([^"]+)"', text(response))
    assert found, f"no {name}"
    return html.unescape(found[1])


def is_polling(response: Response, name: str) -> bool:
    found = re.search(rf'<div id="{name}"[^>]*?hx-trigger="([^"]+)"', text(response))
    assert found, f"no {name}"
    return "every 1s" in found[1]


def swapped(response: Response) -> list[str]:
    """Returns the ids of the fragments in an answer to a poll."""
    return IDS.findall(text(response))
