"""The server that the steps of the chaos run call. It counts the idempotency keys of the calls."""

import threading
import time
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

from tests.servers.local import Handler, LocalServer


class CallServer(LocalServer):
    """`keys` has the idempotency keys that arrived for each path, and how often."""

    def __init__(self) -> None:
        super().__init__(CallHandler)
        self.keys: dict[str, Counter[str]] = defaultdict(Counter)
        self.guard = threading.Lock()

    def count(self, path: str, key: str) -> int:
        with self.guard:
            self.keys[path][key] += 1
            return self.keys[path][key]


class CallHandler(Handler):
    """Answers `/<job>/<step>`. `?busy=N`: busy for the first N calls. `?seconds=S`: the answer takes so long."""

    server: CallServer

    def do_POST(self) -> None:
        self.read_request()
        self.server.requests.clear()  # to save memory: only the keys are used
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        calls = self.server.count(parts.path, self.headers.get("idempotency-key", ""))
        time.sleep(float(query.get("seconds", 0)))
        self.answer(200, {"busy": calls <= int(query.get("busy", 0))})
