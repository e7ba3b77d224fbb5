"""The decoded audio of all requests in progress: its memory, and how long it will take to compute.

Each request has one window of a recording in the queue of the batches at a time, so the queue does not show how much is
to come. Here every recording is counted when it is decoded, and every window of it when it is computed.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from elp_core.inference.windows import WindowConfig
from elp_core.types import SAMPLE_RATE, Samples, Seconds
from pipelines.errors import RequestRefused
from pipelines.serving.http.request_ticket import Ticket


@dataclass(eq=False)
class _Share:
    """The audio of one request."""

    held: Samples = 0
    computed: Samples = 0
    decoded: bool = False

    @property
    def owed(self) -> Samples:
        # windows overlap, so a recording may be computed more than once
        return max(0, self.held - self.computed)


class AudioRoom:
    """Bounds the audio that all requests hold, and the time that it takes. May be asked from many threads at once.

    Args:
        seconds: Of decoded audio; a request over it is refused, unless it is alone.
        backlog: Seconds of computing; a recording of more than a window over it is refused, unless it is alone.
        cost: Seconds that this machine computes for a second of audio.
    """

    def __init__(self, seconds: Seconds, backlog: Seconds, cost: Callable[[], float]) -> None:
        self._room, self._backlog, self._cost = round(seconds * SAMPLE_RATE), backlog, cost
        self._shares: dict[Ticket, _Share] = {}
        self._usual: float = 0.0
        """Samples of a recording lately, for those that are not decoded yet."""
        self._short = round(WindowConfig().seconds * SAMPLE_RATE)
        self._lock = threading.Lock()

    @property
    def held(self) -> Seconds:
        """Decoded audio of all requests in progress."""
        with self._lock:
            return sum(one.held for one in self._shares.values()) / SAMPLE_RATE

    @property
    def backlog(self) -> Seconds:
        """Estimate of the time until all that is accepted is computed."""
        with self._lock:
            return self._took(sum(self._owed()))

    @property
    def delay(self) -> Seconds:
        """Estimate of the time until the first of the requests in progress has its answer.

        Their windows take turns: until the shortest is done, as much of every other one is computed.
        """
        with self._lock:
            owed = self._owed()
            return self._took(min(owed) * len(owed)) if owed else 0.0

    @contextlib.contextmanager
    def place(self, ticket: Ticket) -> Iterator[None]:
        """Count the audio of a request until the block ends."""
        with self._lock:
            self._shares[ticket] = _Share()
        try:
            yield
        finally:
            with self._lock:
                del self._shares[ticket]

    def hold(self, ticket: Ticket, samples: Samples) -> None:
        """Count a decoded recording; raises RequestRefused (429) if there is no room for it."""
        with self._lock:
            share = self._shares[ticket]
            others = [one for one in self._shares.values() if one is not share]
            held = sum(one.held for one in others)
            owed = self._took(sum(one.owed for one in others))
            own = self._took(share.owed + samples)
            over = owed + own - self._backlog
            if held and held + share.held + samples > self._room:
                wait = min(owed, self._took(min(one.owed for one in others if one.held) * len(others)))
                raise _full(f"{held // SAMPLE_RATE} s of audio are in progress here", wait)
            # a short one waits for one window of each of the others only
            if owed and over > 0 and share.held + samples > self._short:
                raise _full(f"the recordings in progress here take {owed:.0f} s, and this one {own:.0f} s", over, owed)
            share.held += samples
            share.decoded = True
            self._usual += 0.2 * (samples - self._usual)

    def computed(self, ticket: Ticket, samples: Samples) -> None:
        """Count what was computed of a request."""
        with self._lock:
            if share := self._shares.get(ticket):
                share.computed += samples

    def _owed(self) -> list[float]:
        return [one.owed if one.decoded else self._usual for one in self._shares.values()]

    def _took(self, samples: float) -> Seconds:
        return samples / SAMPLE_RATE * self._cost()


def _full(reason: str, wait: Seconds, most: Seconds = math.inf) -> RequestRefused:
    seconds = max(1, math.ceil(min(wait, most)))
    return RequestRefused(429, "audio_full", f"{reason}; try again in {seconds} s", seconds)
