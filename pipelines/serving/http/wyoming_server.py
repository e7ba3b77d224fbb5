"""Speech to text for voice assistants by the Wyoming protocol, next to the routes: `elp serve --wyoming PORT`.

A client sends ``describe`` and gets ``info``; or ``transcribe``, ``audio-start``, ``audio-chunk`` … ``audio-stop``, and
gets ``transcript``, any number of times. The protocol has no keys: with API keys in force every connection is refused.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from elp_core.audio import Waveform
from elp_core.errors import ElpError
from elp_core.resampling import resample
from elp_core.tasks import SpeechRecognition
from elp_core.types import Hertz, Seconds
from pipelines.errors import RequestRefused, UsageError
from pipelines.registry.slot import Slot
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.body_room import BodyRoom, Hold
from pipelines.serving.http.error_answers import error_body
from pipelines.serving.http.request_logger import request_names
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.speech_service import SpeechService
from pipelines.serving.http.wyoming_events import WyomingEvent, read_event

if TYPE_CHECKING:
    from pipelines.serving.http.served_set import ServedVersion

_log = logging.getLogger("elp.serve")
_IDLE: Seconds = 60.0
_RATES = (8_000, 48_000)
_ATTRIBUTION = {"name": "ELP Foundry", "url": ""}


class WyomingSession:
    """The events of one connection to answers; without a network.

    Args:
        service: Answers.
        keys: With one of them, everything is refused.
        longest: Audio of one transcript.
        hold: Holds the bytes of the audio that came.
    """

    def __init__(self, service: SpeechService, keys: ApiKeyFile, longest: Seconds, hold: Hold) -> None:
        self._service, self._keys, self._longest, self._hold = service, keys, longest, hold
        self._wanted: dict[str, Any] = {}
        self._rate: Hertz = 0
        self._audio = io.BytesIO()

    def answers(self, event: WyomingEvent, ticket: Ticket) -> Iterator[WyomingEvent]:
        """Yield the answers to an event; raises ElpError for one that cannot be answered."""
        if self._keys.required:
            raise RequestRefused(403, "invalid_api_key", "this server asks for API keys, and this protocol has none")
        if event.type == "describe":
            yield WyomingEvent("info", self._info())
        elif event.type == "ping":
            yield WyomingEvent("pong", event.data)
        elif event.type == "transcribe":
            self._wanted = dict(event.data)
        elif event.type == "audio-start":
            self._begin(event)
        elif event.type == "audio-chunk":
            self._add(event)
        elif event.type == "audio-stop":
            yield self._transcript(ticket)
        # others are of later releases, and are for servers that know them

    def _begin(self, event: WyomingEvent) -> None:
        rate, width, channels = (event.data.get(name) for name in ("rate", "width", "channels"))
        if type(rate) is not int or not _RATES[0] <= rate <= _RATES[1] or (width, channels) != (2, 1):
            raise RequestRefused(
                400,
                "samples",
                f"audio has rate {rate}, width {width} and {channels} channels; expected 8000 to 48000, 2 and 1",
            )
        self._rate, self._audio = rate, io.BytesIO()

    def _add(self, event: WyomingEvent) -> None:
        if not self._rate:
            raise RequestRefused(400, "samples", "audio-chunk came before audio-start")
        self._audio.write(event.payload)
        if self._audio.tell() > 2 * self._rate * self._longest:
            raise RequestRefused(413, "too_long", f"the audio is longer than {self._longest:g} s")
        self._hold(self._audio.tell())

    def _transcript(self, ticket: Ticket) -> WyomingEvent:
        content, rate, wanted = self._audio.getvalue(), self._rate, self._wanted
        self._rate, self._audio, self._wanted = 0, io.BytesIO(), {}
        if not rate or len(content) % 2:
            raise RequestRefused(400, "samples", "audio-stop came without audio of 16-bit samples before it")
        slot = self._slot(wanted.get("name"))
        language = wanted.get("language")
        languages = (str(language),) if language else ()
        # other programs name neither; the request is logged then without them
        session, speaker = (str(wanted.get(name) or "") for name in ("session", "speaker"))
        names = request_names(session, speaker, "")
        heard = self._service.transcribe(
            slot, _waveform(content, rate), ticket, languages=languages, names=names, route="wyoming"
        )
        by = heard.by
        self._hold(0)
        data = {
            "text": heard.transcript.text,
            "model": str(slot),
            "version": by.version,
            "bundle_digest": by.digest,
            "request_id": names.id,
        }
        return WyomingEvent("transcript", data | ({"language": language} if language else {}))

    def _slot(self, name: object) -> Slot:
        """Return the slot that is named, or the only one."""
        served = self._recognisers()
        if name:
            try:
                return Slot.parse(str(name))
            except UsageError as error:
                raise RequestRefused(404, "model_not_found", str(error)) from error
        if len(served) != 1:
            some = ", ".join(str(one.slot) for one in served) or "none"
            raise RequestRefused(404, "model_not_found", f"transcribe names no model; SITE/asr that are served: {some}")
        return served[0].slot

    def _recognisers(self) -> list[ServedVersion]:
        return [one for one in self._service.served.versions if isinstance(one.task, SpeechRecognition)]

    def _info(self) -> dict[str, Any]:
        models = [
            {
                "name": str(one.slot),
                "languages": [cast(SpeechRecognition, one.task).language.code],
                "attribution": _ATTRIBUTION,
                "installed": True,
                "description": f"champion of {one.slot}",
                "version": str(one.version),
            }
            for one in self._recognisers()
        ]
        program = {"name": "elp", "attribution": _ATTRIBUTION, "installed": True, "description": "elp serve"}
        return {"asr": [{**program, "version": "1", "models": models}]}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listener: socket.socket, session: Callable[[Hold], WyomingSession], bodies: BodyRoom, places: int
    ) -> None:
        super().__init__(listener.getsockname()[:2], _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket, self.session, self.bodies = listener, session, bodies
        self.places = threading.BoundedSemaphore(places)


class _Connection(socketserver.StreamRequestHandler):
    timeout = _IDLE

    def handle(self) -> None:
        server = cast(_Server, self.server)
        if not server.places.acquire(blocking=False):
            self._send(WyomingEvent("error", {"text": "too many connections; try again later", "code": "queue_full"}))
            return
        ticket = Ticket()
        try:
            with contextlib.suppress(OSError), server.bodies.place() as hold:
                self._converse(server.session(hold), ticket)
        finally:
            ticket.cancel()
            server.places.release()

    def _converse(self, session: WyomingSession, ticket: Ticket) -> None:
        try:
            while (event := read_event(cast(BinaryIO, self.rfile))) is not None:
                for answer in session.answers(event, ticket):
                    self._send(answer)
        except ElpError as error:
            said = error_body(error)["error"]
            self._send(WyomingEvent("error", {"text": said["message"], "code": said["code"]}))

    def _send(self, event: WyomingEvent) -> None:
        self.wfile.write(event.content)


@contextlib.contextmanager
def wyoming_server(
    listener: socket.socket, service: SpeechService, keys: ApiKeyFile, bodies: BodyRoom, longest: Seconds, places: int
) -> Iterator[None]:
    """Answer at a listening socket in threads until the block ends; more than `places` connections are refused."""
    server = _Server(listener, lambda hold: WyomingSession(service, keys, longest, hold), bodies, places)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="elp-wyoming")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _waveform(content: bytes, rate: Hertz) -> Waveform:
    return resample(np.frombuffer(content, "<i2").astype(np.float32) * np.float32(2**-15), rate)
