"""The websocket ``/v1/listen``: live audio in, an answer for each utterance out.

The client sends binary messages of 16-bit little-endian mono samples, and the text ``{"type": "end"}`` at the end. The
server answers with text messages: ``utterance`` for each run of speech, and ``end``, or ``error`` before it closes,
with ``retry_after`` (seconds) if the server is full.
While an utterance is computed, no further message is read: a client that sends faster is slowed down by TCP.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import soxr
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from elp_core.audio import Waveform
from elp_core.errors import ElpError
from elp_core.inference.voice_activity import LiveSpeech, SpeechRun, VoiceActivityConfig
from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import RequestRefused, UsageError
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.serving.http.error_answers import error_body
from pipelines.serving.http.request_form import require_permission
from pipelines.serving.http.request_limits import unknown_key
from pipelines.serving.http.request_logger import RequestNames, request_names
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.served_set import not_served
from pipelines.serving.http.speech_service import SpeechService

IDLE_SECONDS: Seconds = 60.0
"""A client that sends nothing for so long is disconnected."""
_LONGEST: Seconds = 25.0
"""A longer utterance is cut in its deepest pause; it then fits into one window."""
_RATES = (8_000, 48_000)
_PARAMETERS = ("model", "rate", "session", "speaker")
_ROUTE = "listen"
_REFUSED, _FULL = 1008, 1013
"""Close codes: the message before has the reason; the client may try again after the seconds that it names."""


def live_routes(service: SpeechService, threads: Executor) -> APIRouter:
    """Return the websocket; each part of the audio is processed in a thread of `threads`."""
    router = APIRouter(prefix="/v1")

    @router.websocket("/listen")
    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        ticket = Ticket()
        try:
            slot, listener = _listener(service, socket, ticket)
            await _listen(socket, slot, listener, threads)
        except WebSocketDisconnect:
            return
        except ElpError as error:
            after = error.retry_after if isinstance(error, RequestRefused) else None
            again = {"retry_after": after} if after else {}
            await _send(socket, {"type": "error", **error_body(error), **again})
            await socket.close(_FULL if after else _REFUSED)
        finally:
            ticket.cancel()

    return router


class UtteranceListener:
    """Samples of one client to answers by utterance."""

    def __init__(self, service: SpeechService, slot: Slot, rate: int, ticket: Ticket, names: RequestNames) -> None:
        self._service, self._slot, self._ticket, self._names = service, slot, ticket, names
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1) if rate != SAMPLE_RATE else None
        self._speech = LiveSpeech(VoiceActivityConfig(max_seconds=_LONGEST))

    def add(self, content: bytes) -> list[dict[str, Any]]:
        """Return the answers for the utterances that end within the next 16-bit samples."""
        samples = np.frombuffer(content, "<i2").astype(np.float32) * np.float32(2**-15)
        return list(self._answers(self._speech.add(self._resampled(samples, last=False))))

    def end(self) -> list[dict[str, Any]]:
        """Return the answer for the utterance that the end of the audio ends."""
        rest = self._resampled(np.zeros(0, np.float32), last=True)
        return [*self._answers(self._speech.add(rest)), *self._answers(self._speech.end())]

    def _resampled(self, samples: Waveform, *, last: bool) -> Waveform:
        if self._resampler is None:
            return samples
        found: Waveform = self._resampler.resample_chunk(samples, last=last)
        return found

    def _answers(self, runs: Iterator[SpeechRun]) -> Iterator[dict[str, Any]]:
        for run in runs:
            begin = run.start / SAMPLE_RATE
            values: dict[str, Any] = {"start": round(begin, 3), "end": round(begin + len(run.samples) / SAMPLE_RATE, 3)}
            # each utterance is a request of its own
            names = replace(self._names, id=uuid.uuid4().hex)
            if self._slot.task == "asr":
                # the run is speech: it is not looked for again
                heard = self._service.transcribe(
                    self._slot, run.samples, self._ticket, skip_silence=False, names=names, route=_ROUTE
                )
                words = [
                    {**plain(word), "start": round(word.start + begin, 3), "end": round(word.end + begin, 3)}
                    for word in heard.transcript.words
                ]
                by, values = heard.by, {**values, "text": heard.transcript.text, "words": words}
            else:
                found = self._service.classify(self._slot, run.samples, self._ticket, names=names, route=_ROUTE)
                answer = found.answer
                by, values = (
                    found.by,
                    {
                        **values,
                        "label": answer.label,
                        "none_of_these": answer.none_of_these,
                        "likeliest": answer.likeliest,
                        "probability": answer.probability,
                    },
                )
            identity = {"version": by.version, "bundle_digest": by.digest, "request_id": names.id}
            yield {"type": "utterance", **values, **identity}


def _listener(service: SpeechService, socket: WebSocket, ticket: Ticket) -> tuple[Slot, UtteranceListener]:
    """Return the slot and the listener that an address asks for; raises RequestRefused for a wrong one."""
    model, rate = socket.query_params.get("model", ""), socket.query_params.get("rate", str(SAMPLE_RATE))
    if unknown := sorted(socket.query_params.keys() - set(_PARAMETERS)):
        expected = ", ".join(_PARAMETERS)
        raise RequestRefused(400, unknown[0], f"unknown parameter {unknown[0]!r}; expected one of {expected}")
    if not rate.isdecimal() or not _RATES[0] <= int(rate) <= _RATES[1]:
        raise RequestRefused(400, "rate", f"rate is {rate!r}, expected samples a second from 8000 to 48000")
    try:
        slot = Slot.parse(model)
    except UsageError:
        raise not_served(model) from None
    require_permission(socket.state.key, slot, closed=socket.state.closed)
    if service.served.find(slot) is None:
        raise not_served(slot)
    if slot.task not in ("asr", "ser", "sic"):
        raise RequestRefused(400, "task", f"the websocket answers SITE/asr, SITE/ser and SITE/sic, got {slot}")
    session, speaker = (socket.query_params.get(name, "") for name in ("session", "speaker"))
    key = socket.state.key
    names = request_names(session, speaker, key.name if key else "")
    return slot, UtteranceListener(service, slot, int(rate), ticket, names)


def _require_key_now(socket: WebSocket, slot: Slot) -> None:
    """Raise RequestRefused if the key of a websocket was revoked, or keys are asked for since it was opened."""
    key, closed = socket.state.principal()
    if closed and key is None:
        raise unknown_key()
    require_permission(key, slot, closed=closed)


async def _listen(socket: WebSocket, slot: Slot, listener: UtteranceListener, threads: Executor) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE_SECONDS)
        except TimeoutError:
            raise RequestRefused(408, "idle", f"nothing came for {IDLE_SECONDS:.0f} s; connect again") from None
        if message["type"] == "websocket.disconnect":
            return
        _require_key_now(socket, slot)
        content = message.get("bytes")
        if content is None:
            _require_end(message.get("text"))
            for answer in await loop.run_in_executor(threads, listener.end):
                await _send(socket, answer)
            await _send(socket, {"type": "end"})
            await socket.close()
            return
        if len(content) % 2:
            raise RequestRefused(400, "samples", f"a message has {len(content)} bytes, expected 16-bit samples")
        for answer in await loop.run_in_executor(threads, listener.add, content):
            await _send(socket, answer)


def _require_end(text: str | None) -> None:
    try:
        known = json.loads(text or "") == {"type": "end"}
    except ValueError:
        known = False
    if not known:
        raise RequestRefused(400, "message", 'a text message is not {"type": "end"}; audio is sent as binary messages')


async def _send(socket: WebSocket, values: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(values, ensure_ascii=False))
