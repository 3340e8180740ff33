"""The attacks of a parser that a document has taken over. They run in the child process of the sandbox."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = Callable[[int, int], None]


def tried(action: Callable[[], Any]) -> str:
    """Returns the error's class and number, or what the action returned."""
    try:
        return f"did it: {action()!r:.200}"
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"


def attempt(arguments: dict[str, Any], report: Report) -> str:
    """Tries the attack called `name`, with `target`."""
    return tried(lambda: ATTACKS[arguments["name"]](arguments.get("target", "")))


def connect(target: str) -> Any:
    host, _, port = target.partition(":")
    return socket.create_connection((host, int(port)))


def connect_unix(target: str) -> Any:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect(target)


def send_packet(target: str) -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        return client.sendto(b"x", ("127.0.0.1", 9))


def link(target: str) -> None:
    os.symlink(target, "link")


def hard_link(target: str) -> None:
    os.link(target, "link")


def make_pipe(target: str) -> None:
    os.mkfifo("pipe")


def fork(target: str) -> Any:
    child = os.fork()
    if child == 0:
        os._exit(0)
    return child


def kill_parent(target: str) -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def kill_all(target: str) -> None:
    os.kill(-1, signal.SIGTERM)


def kill_by_thread(target: str) -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(234, int(target), int(target), 0) != 0:
        raise OSError(ctypes.get_errno(), "tgkill")
    return "signalled"


def trace(target: str) -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(target), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "traced"


def become_root(target: str) -> Any:
    os.setuid(0)
    return os.getuid()


ATTACKS: dict[str, Callable[[str], Any]] = {
    "connect": connect,
    "connect_unix": connect_unix,
    "send_packet": send_packet,
    "read": lambda target: Path(target).read_bytes()[:50],
    "list": os.listdir,
    "write": lambda target: Path(target).write_text("mine"),
    "append": lambda target: Path(target).open("a").close(),
    "remove": os.unlink,
    "rename": lambda target: os.rename(target, "stolen"),
    "link": link,
    "hard_link": hard_link,
    "make_pipe": make_pipe,
    "fork": fork,
    "run": lambda target: subprocess.run(["/bin/true"], check=False),
    "exec": lambda target: os.execv("/bin/true", ["true"]),
    "kill_parent": kill_parent,
    "kill_all": kill_all,
    "kill_by_thread": kill_by_thread,
    "trace": trace,
    "become_root": become_root,
    "raise_limit": lambda target: __import__("resource").setrlimit(9, (-1, -1)),
}


def who(arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Returns the child's user, descriptors, environment and rights."""
    descriptors = [number for number in range(300) if _is_open(number)]
    status = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)
    return {"uid": os.getuid(), "descriptors": descriptors, "names": sorted(os.environ), "no_new_privs": status}


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def threads(arguments: dict[str, Any], report: Report) -> int:
    """Libraries may use threads."""
    done: list[int] = []
    workers = [threading.Thread(target=done.append, args=(1,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(done)


def fill_disk(arguments: dict[str, Any], report: Report) -> int:
    with Path("big").open("wb") as file:
        for _ in range(1 << 20):
            file.write(b"x" * (1 << 20))
    return 1


def open_many(arguments: dict[str, Any], report: Report) -> int:
    return len([os.open("/dev/null", os.O_RDONLY) for _ in range(10_000)])


def answer_for_another(arguments: dict[str, Any], report: Report) -> None:
    """Sends what only the fork server may say, straight into its socket."""
    lines = f'{{"pid": {arguments["pid"]}}}\n{{"exit": 0}}\n{{"result": "forged"}}\n'.encode()
    for number in range(3, 300):
        try:
            os.write(number, lines)
        except OSError:
            continue
    os._exit(0)


def answer_nonsense(arguments: dict[str, Any], report: Report) -> None:
    for number in range(3, 300):
        try:
            os.write(number, arguments["text"].encode() + b"\n")
        except OSError:
            continue
    os._exit(0)
