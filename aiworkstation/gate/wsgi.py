"""Runs a WSGI application in a thread, from a complete request to a complete answer (PEP 3333)."""

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from aiworkstation.gate.refusals import Scope, Send
from aiworkstation.gate.request_body import Body

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]
Read = Callable[[IO[bytes], int], Awaitable[bytes]]

IN_MEMORY = 1024 * 1024
"""Bytes of an answer that are kept in memory. A larger one waits in a file without a name for a slow reader."""
BLOCK = 64 * 1024


@dataclass
class Answer:
    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    file: IO[bytes] | None = None
    is_stored: bool = False
    """The file is one of the application's, perhaps on a slow disk."""


def environ_of(scope: Scope, body: Body) -> Environ:
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    host, port = scope["server"] or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body.file,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name_bytes, value in scope["headers"]:
        name = name_bytes.decode("latin-1").upper()
        # `X_Forwarded_For` would look like `X-Forwarded-For` in the environ.
        if "_" in name or name in ("TRANSFER-ENCODING", "CONTENT-LENGTH"):
            continue
        key = "CONTENT_TYPE" if name == "CONTENT-TYPE" else "HTTP_" + name.replace("-", "_")
        text = value.decode("latin-1")
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{text}" if key in environ else text
    environ["CONTENT_LENGTH"] = str(body.size)
    return environ


def answer(application: Application, environ: Environ) -> Answer:
    """Runs in a thread. The thread is free when the application is done, however slowly the client reads."""
    found = Answer()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        found.status = int(status.split(" ", 1)[0])
        found.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    parts = application(environ, start_response)
    if isinstance(parts, FileWrapper):
        found.file, found.is_stored = parts.filelike, True  # its close() also closes the response
        return found
    # The whole answer is made before a byte is sent: the thread must not wait for the client.
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the answer owns it
    try:
        for part in parts:
            spool.write(part)
    # Whatever ends the application: nobody else would close the file.
    except BaseException:
        spool.close()
        raise
    finally:
        if hasattr(parts, "close"):
            parts.close()
    if not any(name == b"content-length" for name, _ in found.headers) and found.status not in (204, 304):
        found.headers.append((b"content-length", str(spool.tell()).encode()))
    spool.seek(0)
    found.file = spool
    return found


async def send_answer(found: Answer, send: Send, read_stored: Read, *, is_last: bool) -> None:
    """Sends it block by block, as fast as the client reads. `read_stored` reads from a file that may be slow.

    If not `is_last`, the caller ends the answer.
    """
    file = found.file
    assert file is not None
    await send({"type": "http.response.start", "status": found.status, "headers": found.headers})
    block = await read_stored(file, BLOCK) if found.is_stored else file.read(BLOCK)
    more = True
    while more:
        following = b""
        if len(block) == BLOCK:
            following = await read_stored(file, BLOCK) if found.is_stored else file.read(BLOCK)
        more = bool(following)
        await send({"type": "http.response.body", "body": block, "more_body": more or not is_last})
        block = following
