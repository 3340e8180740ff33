"""Steps learn nothing about the names of the private network, and slow name servers delay no other work."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from tests.workflows.network.test_http_client import failure
from workflows.network import ssrf_guard

PRIVATE = {"wiki.corp.example": "10.0.0.7", "printer.corp.example": "192.168.1.9", "vault.corp.example": "fd00::7"}
UNKNOWN = ["none.corp.example", "x.invalid", "a.b.c.example"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    def look_up(host: str, port: int, **options: Any) -> list[Any]:
        if host not in PRIVATE:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, None, "", (PRIVATE[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": []})


def test_unknown_and_forbidden_look_the_same(names: None) -> None:
    seen = set()
    for host in [*PRIVATE, *UNKNOWN]:
        error = failure(f"http://{host}/x")
        seen.add((error.code, error.retryable, error.message.replace(host, "HOST")))
    assert len(seen) == 1
    assert next(iter(seen))[0] == "address_not_allowed"


def test_slow_names_leave_other_work_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])

    async def attack() -> float:
        names = [asyncio.create_task(ssrf_guard.resolve(f"slow{number}.example", 80)) for number in range(100)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await asyncio.wait_for(asyncio.to_thread(time.monotonic), 5)
        taken = time.monotonic() - began
        release.set()
        await asyncio.gather(*names)
        return taken

    assert asyncio.run(attack()) < 1
