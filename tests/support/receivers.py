"""Real receivers of messages on 127.0.0.1: an SMTP server and an HTTP server that keep what they get."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """A server that can be told to fail."""

    port: int = 0
    status: int = 200
    """HTTP: the answer. SMTP: any but 200 refuses the recipient."""
    delay: float = 0.0
    got: list[Any] = field(default_factory=list)
    """Mails, or the JSON bodies of requests."""
    logins: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the HTTP receiver, with a secret in it."""
        return f"http://127.0.0.1:{self.port}/hook/s3cr3t-path"


@contextlib.contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Keep the JSON of every POST."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(receiver.delay)
            if receiver.status == 200:
                receiver.got.append(json.loads(body))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextlib.contextmanager
def smtp_receiver() -> Iterator[Receiver]:
    """Keep every mail; speak as much of SMTP as `smtplib` needs, with AUTH PLAIN."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 test")
            while line := self.rfile.readline():
                verb, _, rest = line.decode().strip().partition(" ")
                if verb.upper() in {"EHLO", "HELO"}:
                    self.wfile.write(b"250-test\r\n250 AUTH PLAIN\r\n")
                elif verb.upper() == "AUTH":
                    receiver.logins.append(base64.b64decode(rest.split()[-1]).decode())
                    self.say("235 ok")
                elif verb.upper() == "RCPT" and receiver.status != 200:
                    self.say(f"{receiver.status} no such person")
                elif verb.upper() == "DATA":
                    self.say("354 go on")
                    receiver.got.append(self.mail())
                    self.say("250 kept")
                elif verb.upper() == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def mail(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                lines.append(line.removeprefix(b"."))
            return email.message_from_bytes(b"".join(lines), policy=email.policy.default)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with _serving(Server(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextlib.contextmanager
def _serving(server: Any, receiver: Receiver) -> Iterator[None]:
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
