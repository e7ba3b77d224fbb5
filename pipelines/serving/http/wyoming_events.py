r"""The wire format of the Wyoming protocol: a line of JSON, then data, then payload; read strictly and in bounds.

    {"type": "audio-chunk", "data": {…}, "data_length": 42, "payload_length": 2048}\n<data: JSON><payload: bytes>

`data` is in the line, or follows it with `data_length` bytes, or both: what follows replaces what is in the line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pipelines.errors import RequestRefused

LONGEST_LINE = 64 * 2**10
LONGEST_PAYLOAD = 2**20
_VERSION = "1.8.0"
"""Of the protocol that is spoken here."""


@dataclass(frozen=True)
class WyomingEvent:
    """One event of either side."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    @property
    def content(self) -> bytes:
        """The bytes of the event."""
        header: dict[str, Any] = {"type": self.type, "version": _VERSION}
        data = json.dumps(dict(self.data), ensure_ascii=False).encode() if self.data else b""
        header |= {"data_length": len(data)} if data else {}
        header |= {"payload_length": len(self.payload)} if self.payload else {}
        return json.dumps(header).encode() + b"\n" + data + self.payload


def read_event(stream: BinaryIO) -> WyomingEvent | None:
    """Return the next event, or None at the end of the stream; raises RequestRefused for what is none."""
    line = stream.readline(LONGEST_LINE)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise _malformed(f"a line has no end within {LONGEST_LINE} bytes")
    header = _object(line)
    kind, inline = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(inline, dict):
        raise _malformed("an event has a type, and its data are an object")
    data = _exactly(stream, header.get("data_length"), LONGEST_LINE, "data")
    payload = _exactly(stream, header.get("payload_length"), LONGEST_PAYLOAD, "payload")
    return WyomingEvent(kind, {**inline, **(_object(data) if data else {})}, payload)


def _exactly(stream: BinaryIO, length: Any, most: int, what: str) -> bytes:
    if length is None:
        return b""
    # True is an int in Python
    if type(length) is not int or not 0 <= length <= most:
        raise _malformed(f"{what}_length is {str(length)[:20]}, expected 0 to {most}")
    found = stream.read(length)
    if len(found) < length:
        raise _malformed(f"the connection ended within the {what} of an event")
    return found


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _malformed("a line or data are no JSON") from error
    if not isinstance(found, dict):
        raise _malformed(f"JSON holds a {type(found).__name__}, expected an object")
    return found


def _malformed(why: str) -> RequestRefused:
    return RequestRefused(400, "malformed", f"this is not the Wyoming protocol: {why}")
