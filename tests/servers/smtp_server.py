"""A mail server in a thread of the test's process: `with SmtpServer() as server:`."""

import socketserver
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self


@dataclass
class Received:
    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def body(self) -> str:
        return str(self.message.get_content())

    @property
    def subject(self) -> str:
        return str(self.message["subject"])


class SmtpServer(socketserver.ThreadingTCPServer):
    """Keeps what it receives in `mails`, and what clients say in `lines`.

    `answers` replaces the answer to a command: `{"RCPT": "550 no such user"}`. With `hangs_after_data`, it takes a mail
    and does not confirm it, until `released` is set.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mails: list[Received] = []
        self.lines: list[str] = []
        self.answers: dict[str, str] = {}
        self.hangs_after_data = False
        self.released = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores errors, because clients may close connections."""


class Handler(socketserver.StreamRequestHandler):
    server: SmtpServer

    def handle(self) -> None:
        self._say(self.server.answers.get("CONNECT", "220 test"))
        sender, recipients = "", list[str]()
        while line := self.rfile.readline().decode().strip():
            self.server.lines.append(line)
            command = line[:4].upper()
            if command in self.server.answers:
                self._say(self.server.answers[command])
            elif command == "EHLO":
                self._say("250-test\r\n250 8BITMIME")
            elif command == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
                self._say("250 ok")
            elif command == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
                self._say("250 ok")
            elif command == "DATA":
                self._say("354 go on")
                self._receive(sender, recipients)
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _receive(self, sender: str, recipients: list[str]) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        if not line:
            return  # the client died before the end: a server drops such a mail
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.server.mails.append(Received(sender, recipients, message))
        if self.server.hangs_after_data:
            self.server.released.wait(60)
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
