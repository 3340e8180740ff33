"""Measures the front gate under attack: `python bench/front_gate.py URL TOKEN ATTACKERS_TOKEN [--pid PID]`.

Sends `GET /api/jobs` alone for half of the time, then with 200 dripping bodies, 50 slow readers, 20 refused uploads of
1 GB and 8 hostile JSON bodies at once. Prints p50 and p95 of both, their ratio, and the memory of the web process.
"""

import argparse
import http.client
import multiprocessing
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

import psutil

DRIPS, READERS, UPLOADS, HOSTILE = 200, 50, 20, 8
GIGABYTE = 10**9


def latencies(host: str, port: int, token: str, seconds: float) -> list[float]:
    found: list[float] = []
    connection = http.client.HTTPConnection(host, port, timeout=60)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        connection.request("GET", "/api/jobs", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        found.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)
    return found


class Attack:
    """Threads that keep their connections busy. They run in processes of their own: see `attacking`."""

    def __init__(self, host: str, port: int, token: str, ends: Event) -> None:
        self.address = (host, port)
        self.token = token
        self.ends = ends

    def run(self, kind: str, number: int) -> None:
        """Repeats an attack in so many threads until `ends` is set."""
        threads = [threading.Thread(target=self.repeat, args=(getattr(self, kind),)) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def repeat(self, attack: Callable[[], None]) -> None:
        while not self.ends.is_set():
            with suppress(OSError, http.client.HTTPException):
                attack()
            self.ends.wait(0.2)

    def drip_many(self) -> None:
        """One thread for all: each gets a byte a second."""
        drips = [socket.create_connection(self.address) for _ in range(DRIPS)]
        for drip in drips:
            drip.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n")
        while not self.ends.wait(1):
            for number, drip in enumerate(drips):
                try:
                    drip.sendall(b"a")
                except OSError:
                    drips[number] = socket.create_connection(self.address)
                    drips[number].sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n")
        for drip in drips:
            drip.close()

    def read_slowly_many(self) -> None:
        readers = []
        for _ in range(READERS):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(self.address)
            reader.sendall(b"GET /static/htmx/htmx.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20)
            readers.append(reader)
        while not self.ends.wait(1):
            for reader in readers:
                with suppress(OSError):
                    reader.recv(10)
        for reader in readers:
            reader.close()

    def upload(self) -> None:
        head = f"POST /api/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {GIGABYTE}\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(head.encode())
            block = b"x" * 65_536
            for _ in range(GIGABYTE // len(block)):
                if self.ends.is_set():
                    return
                connection.sendall(block)

    def send_hostile_json(self) -> None:
        bodies = ["[" * 5_000_000, '{"jobType": "workflow", "payload": {"tags": [' + '"t",' * 500_000 + '"t"]}}']
        for body in bodies:
            connection = http.client.HTTPConnection(*self.address, timeout=60)
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request("POST", "/api/jobs", body.encode(), headers)
            connection.getresponse().read()
            connection.close()


@contextmanager
def attacking(host: str, port: int, token: str) -> Iterator[None]:
    """One process for each kind, so that the attackers do not hold the interpreter of the client that measures."""
    context = multiprocessing.get_context("spawn")
    ends = context.Event()
    attack = Attack(host, port, token, ends)
    kinds = {"drip_many": 1, "read_slowly_many": 1, "upload": UPLOADS, "send_hostile_json": HOSTILE}
    processes = [context.Process(target=attack.run, args=item) for item in kinds.items()]
    for process in processes:
        process.start()
    try:
        time.sleep(3)
        yield
    finally:
        ends.set()
        for process in processes:
            process.join(30)
            process.kill()


def p(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("attacker", help="the token of another user")
    parser.add_argument("--pid", type=int, help="the web process, whose memory is measured")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    place = urlsplit(options.url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    latencies(host, port, options.token, 2)
    alone = latencies(host, port, options.token, options.seconds)
    with attacking(host, port, options.attacker):
        attacked = latencies(host, port, options.token, options.seconds)
        memory = psutil.Process(options.pid).memory_info().rss / 2**20 if options.pid else 0
    for name, values in (("alone", alone), ("attacked", attacked)):
        print(f"{name:9} p50 {p(values, 50):6.1f} ms  p95 {p(values, 95):6.1f} ms  ({len(values)} requests)")
    print(f"p95 attacked / alone: {p(attacked, 95) / p(alone, 95):.2f}   web process: {memory:.0f} MB")


if __name__ == "__main__":
    main()
