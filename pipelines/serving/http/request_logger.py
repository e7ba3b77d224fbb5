"""Log answered requests in the background: a request is never slower, and never fails, because of its log.

    request thread   begin → Observation → finish → bounded queue (full: dropped, and counted)
    log thread       queue → measurements → one transaction a slot → the log of the slot; removes what is over its time

The features and the outputs come from the batch that answered the request: nothing is computed twice.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from elp_core.audio import Waveform, clip_id, encode_flac, measure
from elp_core.errors import ElpError
from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import RequestRefused
from pipelines.registry.names import normal_name
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import (
    KeptAudio,
    add_requests,
    clean_logs,
    log_path,
    log_transaction,
    opened_log,
    remove_excess,
    stamp,
)
from pipelines.request_log.log_policy import RequestLogPolicy
from pipelines.request_log.served_request import RequestAnswer, ServedRequest
from pipelines.serving.http.served_set import ServedVersion

if TYPE_CHECKING:
    from elp_core.inference.host_request import PooledOutput

Outcome = Literal["written", "no speech", "queue full", "failed"]
"""``no speech`` is logged, too: a recording in which nothing was recognised because no speech was found."""
CountLogged = Callable[[Slot, Outcome, int], None]
PolicyOf = Callable[[Slot], RequestLogPolicy]

_QUEUED = 256
"""Requests that wait for the log thread, at most."""
_QUEUED_SECONDS: Seconds = 1200.0
"""Audio that waits for it, at most: 77 MB."""
_TOGETHER = 64
"""Requests in one transaction, at most."""
_WAIT: Seconds = 1.0
"""How long the first of them waits for others."""
_CLEAN_EVERY: Seconds = 30.0
"""Between two looks for what is over its time."""
_LONGEST_NAME = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestNames:
    """What a client names with its request, and the id that the request gets."""

    session: str = ""
    speaker: str = ""
    client: str = ""
    """Name of the API key."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def request_names(session: str, speaker: str, client: str) -> RequestNames:
    """Return the names of a request; raises RequestRefused (400) for a name that could not be stored."""
    for name, value in (("session", session), ("speaker", speaker)):
        if len(value) > _LONGEST_NAME or not value.isprintable():
            raise RequestRefused(400, name, f"{name} is no name of {_LONGEST_NAME} printable characters at most")
    return RequestNames(re.sub(r"\s+", " ", session).strip(), normal_name(speaker), client)


@dataclass(eq=False)
class Observation:
    """What a request that is logged leaves while it is answered."""

    names: RequestNames
    route: str
    outputs: list[tuple[Waveform, PooledOutput]] = field(default_factory=list)
    """Each window with its output."""

    def add(self, waveforms: Sequence[Waveform], outputs: Sequence[PooledOutput]) -> None:
        """Keep the outputs of the next windows."""
        self.outputs += zip(waveforms, outputs, strict=True)


@dataclass(frozen=True, eq=False)
class _Answered:
    seen: Observation
    by: ServedVersion
    waveform: Waveform
    answer: RequestAnswer
    at: datetime

    @property
    def seconds(self) -> Seconds:
        return len(self.waveform) / SAMPLE_RATE


class RequestLogger:
    """The log of one server. `begin` and `finish` may be called from many threads at once.

    Args:
        state: State folder of the workspace.
        policy: What each slot logs, as it was when the server started.
        count: Called with slot, outcome and number of requests, for the metrics.
    """

    def __init__(self, state: Path, policy: PolicyOf, count: CountLogged) -> None:
        self._state, self._policy, self._count = state, policy, count
        self._queue: queue.Queue[_Answered | None] = queue.Queue(_QUEUED)
        self._seconds, self._lock = 0.0, threading.Lock()
        self._clean_at = 0.0
        self._thread = threading.Thread(target=self._write, name="elp-request-log", daemon=True)

    @property
    def queued(self) -> int:
        """Requests that wait to be written."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start the thread; it first removes what is over its time."""
        self._thread.start()

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def begin(self, slot: Slot, route: str, names: RequestNames) -> Observation | None:
        """Return the observation of a request, or None if it is not among the share that is logged."""
        share = self._policy(slot).share
        return Observation(names, route) if share and random.random() < share else None

    def finish(self, seen: Observation | None, by: ServedVersion, waveform: Waveform, answer: RequestAnswer) -> None:
        """Queue an answered request for the log; it is dropped, and counted, if the queue is full."""
        if seen is None:
            return
        done = _Answered(seen, by, waveform, answer, datetime.now(UTC))
        with self._lock:
            fits = self._seconds + done.seconds <= _QUEUED_SECONDS
            if fits:
                with contextlib.suppress(queue.Full):
                    self._queue.put_nowait(done)
                    self._seconds += done.seconds
                    return
        self._count(by.slot, "queue full", 1)

    def _write(self) -> None:
        # at the usual priority: a thread that waits for the processor with the interpreter's lock holds up all others
        ended = False
        while not ended:
            if time.monotonic() >= self._clean_at:
                self._clean()
            batch, ended = self._next_batch()
            by_slot: defaultdict[Slot, list[_Answered]] = defaultdict(list)
            for one in batch:
                by_slot[one.by.slot].append(one)
            for slot, own in by_slot.items():
                self._keep(slot, own)
            with self._lock:
                self._seconds -= sum(one.seconds for one in batch)

    def _next_batch(self) -> tuple[list[_Answered], bool]:
        """Return requests that wait, after at most the time until the next look, and whether the server closes."""
        batch: list[_Answered] = []
        ends = self._clean_at
        while len(batch) < _TOGETHER:
            try:
                found = self._queue.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                break
            if found is None:
                return batch, True
            batch.append(found)
            ends = min(ends, time.monotonic() + _WAIT) if len(batch) == 1 else ends
        return batch, False

    def _keep(self, slot: Slot, answered: Sequence[_Answered]) -> None:
        try:
            policy = self._policy(slot)
            added = [(_record(one), _audio(one, policy)) for one in answered]
            with opened_log(log_path(self._state, slot), create=True) as db:
                with log_transaction(db):
                    add_requests(db, added)
                remove_excess(db, policy, datetime.now(UTC))
        except Exception as error:
            # a full disk or a damaged log must not end the thread: the server answers on, the metrics show it
            _log.warning("%d requests of %s could not be logged: %s", len(answered), slot, error)
            self._count(slot, "failed", len(answered))
        else:
            silent = sum(not one.seen.outputs for one in answered)
            self._count(slot, "written", len(answered) - silent)
            self._count(slot, "no speech", silent)

    def _clean(self) -> None:
        """Remove what is over its time in every log of the workspace, also of slots that log nothing any more."""
        self._clean_at = time.monotonic() + _CLEAN_EVERY
        try:
            clean_logs(self._state, self._policy)
        except (ElpError, OSError) as error:
            _log.warning("a request log could not be cleaned: %s", error)


def _record(done: _Answered) -> ServedRequest:
    sound = measure(done.waveform)
    measurements = {"snr_db": sound.snr_db, "level_db": sound.rms_db, "seconds": sound.duration}
    names, by, outputs = done.seen.names, done.by, done.seen.outputs
    features = np.zeros(0)
    if outputs:
        weights = [len(waveform) for waveform, _ in outputs]
        features = np.average([output.features for _, output in outputs], axis=0, weights=weights)
        measurements |= _certainty(by, [output.value for _, output in outputs])
    return ServedRequest(
        id=names.id,
        at=stamp(done.at),
        slot=by.slot,
        version=by.version,
        bundle=by.digest,
        fingerprint=by.fingerprint,
        route=done.seen.route,
        session=names.session,
        speaker=names.speaker,
        client=names.client,
        clip=clip_id(done.waveform),
        seconds=sound.duration,
        measurements=measurements,
        features=tuple(features.astype(np.float32).tolist()),
        answer=done.answer,
    )


def _certainty(by: ServedVersion, values: Sequence[Any]) -> dict[str, float]:
    """Return the certainty of the outputs of one recording under the names that the monitor scores."""
    from elp_core.inference.measure_clips import transcript_certainty
    from elp_core.tasks import SpeechRecognition
    from elp_core.tasks.classification import ClipClassification

    if isinstance(by.task, SpeechRecognition):
        found = transcript_certainty(np.concatenate(values))
        assert found.blank_share is not None
        return {"confidence": found.confidence, "blank_share": found.blank_share}
    return {"confidence": float(values[0].max())} if isinstance(by.task, ClipClassification) else {}


def _audio(done: _Answered, policy: RequestLogPolicy) -> KeptAudio | None:
    # without speech there is nothing to correct and to train on
    if not (policy.audio_consent and done.seen.outputs):
        return None
    return KeptAudio(encode_flac(done.waveform), policy.audio_consent.strip(), stamp(done.at + policy.audio_age))
