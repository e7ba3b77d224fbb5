"""The Wyoming protocol byte by byte, as its clients send and expect it."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import RequestRefused, UsageError
from pipelines.serving.http.api_keys import ApiKeyFile, add_api_key
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.http.serve_process import listening_socket
from pipelines.serving.http.wyoming_events import WyomingEvent, read_event
from pipelines.serving.http.wyoming_server import wyoming_server
from tests.support.clips import voice, wav
from tests.support.mlflow_server import free_port
from tests.support.speech_server import SpeechServer

RECORDING = wav(voice(0.8, 200.0, 1))
PCM = RECORDING[44:]
FORMAT = {"rate": 16000, "width": 2, "channels": 1}


class Client:
    """A socket that sends bytes, and reads a line and what the line announces."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self.socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *lines: bytes) -> None:
        self.socket.sendall(b"".join(lines))

    def receive(self) -> tuple[str, dict[str, Any]]:
        header = json.loads(self._file.readline())
        assert "payload_length" not in header
        return header["type"], json.loads(self._file.read(header["data_length"]))

    def ended(self) -> bool:
        return self._file.read(1) == b""


@contextlib.contextmanager
def connected(server: SpeechServer, keys: Path, longest: float = 60.0, places: int = 2) -> Iterator[int]:
    """Give the port at which the parts of a running server answer assistants."""
    options = ServeOptions(port=free_port())
    with (
        contextlib.closing(listening_socket(options)) as listener,
        wyoming_server(
            listener, server.opened.parts.service, ApiKeyFile(keys), server.opened.parts.bodies, longest, places
        ),
    ):
        yield options.port


def chunk(pcm: bytes) -> bytes:
    # data in the line, as older clients write it
    header = {"type": "audio-chunk", "data": FORMAT, "payload_length": len(pcm)}
    return json.dumps(header).encode() + b"\n" + pcm


@pytest.mark.integration
def test_an_assistant_asks_what_is_there_and_gets_transcripts(server: SpeechServer, tmp_path: Path) -> None:
    expected = server.ask("audio/transcriptions", "plant-a/asr", RECORDING)
    with connected(server, tmp_path / "keys.json") as port, contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(Client(port)))
        client.send(b'{"type": "describe"}\n')
        kind, info = client.receive()
        assert kind == "info"
        (program,) = info["asr"]
        (model,) = program["models"]
        assert (program["name"], program["installed"]) == ("elp", True)
        assert (model["name"], model["languages"], model["installed"]) == ("plant-a/asr", ["en"], True)
        assert set(model) == {"name", "languages", "attribution", "installed", "description", "version"}
        # twice in one connection; data after the line, as clients of today write it
        for wanted in ({"name": "plant-a/asr", "language": "en-US"}, {}):
            data = json.dumps(FORMAT).encode()
            client.send(
                b'{"type": "transcribe", "data": ' + json.dumps(wanted).encode() + b"}\n",
                b'{"type": "audio-start", "version": "1.8.0", "data_length": %d}\n' % len(data),
                data,
                *(chunk(PCM[place : place + 2000]) for place in range(0, len(PCM), 2000)),
                b'{"type": "of-tomorrow"}\n{"type": "audio-stop"}\n',
            )
            kind, heard = client.receive()
            assert kind == "transcript"
            assert heard["text"] == expected.json()["text"] != ""
            assert heard["bundle_digest"] == expected.headers["elp-bundle-digest"]
        client.send(b'{"type": "ping", "data": {"text": "still there?"}}\n')
        assert client.receive() == ("pong", {"text": "still there?"})


@pytest.mark.integration
@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "malformed", "this is not the Wyoming protocol"),
        (b'["describe"]\n', "malformed", "JSON holds a list"),
        (b'{"type": "audio-chunk", "payload_length": 9999999999}\n', "malformed", "expected 0 to 1048576"),
        (b'{"type": "audio-chunk", "payload_length": true}\n', "malformed", "payload_length is True"),
        (b'{"type": "audio-stop"}\n', "samples", "without audio"),
        (b'{"type": "audio-chunk", "payload_length": 2}\nab', "samples", "before audio-start"),
        (b'{"type": "audio-start", "data": {"rate": 16000, "width": 4, "channels": 1}}\n', "samples", "width 4"),
        (b'{"type": "transcribe", "data": {"name": "x/asr"}}\nSTART CHUNK STOP', "model_not_found", "x/asr"),
        (b'{"type": "transcribe", "data": {"name": "tiny"}}\nSTART CHUNK STOP', "model_not_found", "tiny"),
        (b'{"type": "transcribe", "data": {"language": "de"}}\nSTART CHUNK STOP', "language", "de"),
        (b"START CHUNK CHUNK STOP", "too_long", "longer than 1 s"),
    ],
)
def test_what_cannot_be_answered_is_an_error_and_the_end(
    sent: bytes, code: str, said: str, server: SpeechServer, tmp_path: Path
) -> None:
    start = b'{"type": "audio-start", "data": %s}\n' % json.dumps(FORMAT).encode()
    content = (
        sent.replace(b"START ", start).replace(b"CHUNK ", chunk(PCM)).replace(b"STOP", b'{"type": "audio-stop"}\n')
    )
    with connected(server, tmp_path / "keys.json", longest=1.0) as port, contextlib.closing(Client(port)) as client:
        client.send(content)
        kind, error = client.receive()
        assert (kind, error["code"]) == ("error", code)
        assert said in error["text"]
        assert client.ended()


@pytest.mark.integration
def test_keys_and_places_close_the_port(server: SpeechServer, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with connected(server, keys, places=1) as port, contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.closing(Client(port)))
        first.send(b'{"type": "describe"}\n')
        assert first.receive()[0] == "info"
        second = stack.enter_context(contextlib.closing(Client(port)))
        assert second.receive()[1]["code"] == "queue_full"
        add_api_key(keys, "line-4", ["*/*"])
        first.send(b'{"type": "describe"}\n')
        assert first.receive()[1]["code"] == "invalid_api_key"
        # a client that resets its connection ends nothing but itself
        first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
    with pytest.raises(UsageError, match="--wyoming is a protocol without keys"):
        ServeOptions(wyoming=10300).require_safe(ApiKeyFile(keys), unlocked=False)
    with pytest.raises(UsageError, match="--port and --wyoming are both 8400"):
        ServeOptions(wyoming=8400).require_safe(ApiKeyFile(keys.with_name("none")), unlocked=False)


def test_an_event_is_read_as_it_was_written() -> None:
    events = [
        WyomingEvent("audio-chunk", {"rate": 16000, "name": "Müller"}, b"\n\x00{}"),
        WyomingEvent("audio-stop"),
    ]
    stream = io.BytesIO(b"".join(event.content for event in events))
    assert [read_event(stream), read_event(stream), read_event(stream)] == [*events, None]
    cut = io.BytesIO(events[0].content[:-1])
    with pytest.raises(RequestRefused, match="ended within the payload"):
        read_event(cut)
    with pytest.raises(RequestRefused, match="a line has no end"):
        read_event(io.BytesIO(b"x" * 70_000))
