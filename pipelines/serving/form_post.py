"""Send forms with files by the standard library: `requests` takes as long to import as a third of `elp predict`."""

from __future__ import annotations

import http.client
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from elp_core.types import Seconds

_CHUNK = 2**20


@dataclass(frozen=True)
class FormAnswer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    content: bytes


def form_connection(address: str, certificate: str, timeout: Seconds) -> http.client.HTTPConnection:
    """Return a connection to ``http://host:port``, or https with this certificate (a file); it connects when used."""
    parts = urlsplit(address)
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    import ssl

    context = ssl.create_default_context(cafile=certificate or None)
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)


def post_form(
    connection: http.client.HTTPConnection,
    path: str,
    fields: Mapping[str, str],
    files: Sequence[tuple[str, Path]],
    headers: Mapping[str, str],
) -> FormAnswer:
    """Post fields, and files by the name of their field; raise OSError, HTTPException or ValueError if that fails.

    The files are sent as they are read. ValueError is for what is no regular file: it has no size to send before.
    """
    if odd := [path for _, path in files if not path.is_file()]:
        # opening a pipe waits for its other end
        raise ValueError(f"{odd[0]} is no regular file")
    boundary = secrets.token_hex(16)
    with ExitStack() as stack:
        opened = [(name, path, stack.enter_context(path.open("rb"))) for name, path in files]
        parts = [(_head(boundary, name), text.encode()) for name, text in fields.items()]
        sent = [(_head(boundary, name, path.name), file) for name, path, file in opened]
        end = f"--{boundary}--\r\n".encode()
        length = sum(len(head) + len(text) + 2 for head, text in parts) + len(end)
        length += sum(len(head) + os.fstat(file.fileno()).st_size + 2 for head, file in sent)

        def body() -> Iterator[bytes]:
            for head, text in parts:
                yield head + text + b"\r\n"
            for head, file in sent:
                yield head
                while chunk := file.read(_CHUNK):
                    yield chunk
                yield b"\r\n"
            yield end

        kind = f"multipart/form-data; boundary={boundary}"
        connection.request(
            "POST", path, body(), {"Content-Type": kind, "Content-Length": str(length), **headers}, encode_chunked=False
        )
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return FormAnswer(answer.status, named, answer.read())


def _head(boundary: str, name: str, file: str | None = None) -> bytes:
    """Return what stands before the content of a part, with names as browsers write them."""
    named = "" if file is None else f'; filename="{_quoted(file)}"'
    kind = "" if file is None else "\r\nContent-Type: application/octet-stream"
    text = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{named}{kind}\r\n\r\n'
    return text.encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
