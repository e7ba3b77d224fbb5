"""An answer that cannot be read is an OSError: who asks a server must be ready for its end, in the middle of it too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest

from pipelines.local import prefect_request as prefect
from pipelines.local.http_client import answers, request


@contextmanager
def _answering(*answers: bytes) -> Iterator[str]:
    """A server that says these one after the other, whatever it is asked, and closes each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    # a connection that is closed with an unread part of the request is reset, and the answer is lost
                    while connection.recv(65_536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[{"name": "ret',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe",
        b"",
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_an_os_error(answer: bytes) -> None:
    with _answering(answer) as url, pytest.raises(OSError):  # noqa: PT011 (the text is that of the system or of http.client)
        request(url, {})


def test_what_speaks_no_http_is_no_answer() -> None:
    with _answering(b"SSH-2.0-OpenSSH_9.6\r\n") as url:
        assert not answers(url)


@pytest.mark.parametrize("length", [b"Content-Length: 23\r\n", b""])
def test_an_error_says_why(length: bytes) -> None:
    refusal = b"HTTP/1.1 409 Conflict\r\n" + length + b'\r\n{"detail": "in the way"}'
    with _answering(refusal) as url, pytest.raises(HTTPError, match=r"Conflict: .*in the way") as refused:
        request(url)
    # an exception that is kept must not keep a connection
    assert (refused.value.code, refused.value.closed) == (409, True)


def test_prefect_is_asked_again_while_its_database_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, done = b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n[1]"
    monkeypatch.setattr(prefect, "_PAUSES", (0.0, 0.0))
    with _answering(busy, busy, done) as url:
        assert prefect.prefect_request(url, {}) == [1]
    with _answering(busy, busy, busy) as url, pytest.raises(HTTPError, match="503"):
        prefect.prefect_request(url, {})
