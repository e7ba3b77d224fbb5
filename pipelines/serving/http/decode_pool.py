"""Recordings to waveforms in processes of their own, with bounds of memory and time."""

from __future__ import annotations

import json
import multiprocessing
import queue
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from elp_core.audio import Waveform
from elp_core.channels import Channel
from elp_core.errors import AudioError
from elp_core.types import Seconds
from pipelines.errors import RequestRefused
from pipelines.serving.http.decode_worker import GOOD
from pipelines.serving.http.request_ticket import Ticket

WORKER = "pipelines.serving.http.decode_worker"
_LOOK: Seconds = 0.2
"""Between two looks whether the client of a request that waits for a decoder has gone."""


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds of one recording."""

    audio_seconds: Seconds = 3600.0
    """Longest recording that is taken; the reader itself takes an hour at most."""
    decode_seconds: Seconds = 60.0
    """Time after which a decoder is ended."""
    wait_seconds: Seconds = 60.0
    """Time after which a request that waits for a decoder is refused."""
    memory_bytes: int = 4 * 2**30
    """Address space of a decoder; 0 is no limit."""


@dataclass(frozen=True)
class _Decoder:
    process: subprocess.Popen[bytes]
    connection: Connection

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


class DecodePool:
    """Decoders that are started when they are needed, and again after they died.

    Args:
        workers: Recordings that are decoded at once.
        limits: For each of them.
    """

    def __init__(self, workers: int = 2, limits: DecodeLimits | None = None) -> None:
        self.limits = limits or DecodeLimits()
        self._workers = workers
        self._free: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(workers):
            self._free.put(None)

    def start(self) -> None:
        """Start one decoder before the first request."""
        decoder = self._free.get()
        self._free.put(decoder or self._started())

    def decode(self, content: bytes, channel: Channel = "same", ticket: Ticket | None = None) -> Waveform:
        """Return float32 [samples] at 16 kHz.

        Raises AudioError as `elp_core.audio.load`, and with `too_slow`, `too_large` (of memory) or `undecodable` (the
        decoder died); RequestRefused if no decoder is free for too long, or if the client goes before one is.
        """
        decoder = self._waited_for(ticket or Ticket())
        if decoder is not None and decoder.process.poll() is not None:
            # it died while it had nothing to do, which is no fault of this recording
            decoder.end()
            decoder = None
        try:
            decoder = decoder or self._started()
            answer = self._ask(decoder, content, channel)
        except BaseException:
            if decoder is not None:
                decoder.end()
            decoder = None
            raise
        finally:
            self._free.put(decoder)
        if answer[:1] == GOOD:
            return np.frombuffer(answer, np.float32, offset=1).copy() if len(answer) > 1 else np.zeros(0, np.float32)
        refused = json.loads(answer[1:])
        raise AudioError(refused["reason"], refused["message"])

    def close(self) -> None:
        """End all decoders; none may be at work."""
        for _ in range(self._workers):
            decoder = self._free.get()
            if decoder is not None:
                decoder.end()

    def _waited_for(self, ticket: Ticket) -> _Decoder | None:
        """Return a free decoder, or None for one that has to be started."""
        ends = time.monotonic() + self.limits.wait_seconds
        while True:
            ticket.require_wanted()
            try:
                return self._free.get(timeout=_LOOK)
            except queue.Empty:
                if time.monotonic() < ends:
                    continue
            wait = max(1, round(self.limits.decode_seconds))
            raise RequestRefused(
                429,
                "decoders_busy",
                f"no decoder was free for {self.limits.wait_seconds:.0f} s; try again in {wait} s, or send WAV",
                wait,
            )

    def _ask(self, decoder: _Decoder, content: bytes, channel: Channel) -> bytes:
        head = json.dumps({"channel": channel, "seconds": self.limits.audio_seconds}).encode()
        try:
            # two messages: the content is not copied for the head in front of it
            decoder.connection.send_bytes(head)
            decoder.connection.send_bytes(content)
            if not decoder.connection.poll(self.limits.decode_seconds):
                raise AudioError(
                    "too_slow", f"the recording was not decoded in {self.limits.decode_seconds:.0f} s; send it as WAV"
                )
            return decoder.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise AudioError(
                "undecodable", f"the decoder ended at this recording of {len(content):,} bytes; send it as WAV"
            ) from error

    def _started(self) -> _Decoder:
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(theirs.fileno()), str(self.limits.memory_bytes)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal goes to the group: the server ends its decoders itself, after the last request
                start_new_session=True,
            )
        return _Decoder(process, ours)
