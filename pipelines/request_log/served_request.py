"""The record of one answered request. Law: ``read_served(served_json(r), features_bytes(r.features)) == r``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.types import Seconds
from pipelines.errors import WorkspaceError
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.slot import Slot

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RequestAnswer:
    """What was answered; the values of other tasks are empty."""

    text: str = ""
    """Transcript (asr)."""
    label: str = ""
    """Class (ser, sic)."""
    probability: float | None = None
    """Of the class."""
    score: float | None = None
    """Of a comparison of voices (asv)."""
    accepted: bool | None = None
    """Whether the score reaches the version's threshold; None if the version has none."""


@dataclass(frozen=True)
class ServedRequest:
    """One request that `elp serve` has answered and logged. Of a comparison of voices: the recording in question."""

    id: str
    """32 hexadecimal digits; the client has them in the header ``elp-request-id``."""
    at: str
    """When it was answered: UTC, ISO 8601 with milliseconds."""
    slot: Slot
    version: int
    bundle: str
    """Digest of the bundle that answered."""
    fingerprint: str
    """Of its backbone."""
    route: str
    """``transcriptions``, ``classify``, ``verify``, ``listen`` or ``wyoming``."""
    session: str
    """As the client names it, such as a call or a shift; empty if it names none."""
    speaker: str
    """In its normal form; empty if the client names none."""
    client: str
    """Name of the API key; empty without one."""
    clip: str
    """Digest of the sound, as `elp_core.audio.clip_id` gives it."""
    seconds: Seconds
    measurements: Mapping[str, float]
    """Finite values by the names that the monitor scores: ``confidence``, ``blank_share``, ``snr_db``, ``level_db``,
    ``seconds``. A comparison of voices and a recording without speech have no confidence."""
    features: tuple[float, ...]
    """Mean over time of the backbone's CNN features, float32 [C]; of a long recording, over its windows.

    Empty for a recording without speech, of which the backbone computed nothing."""
    answer: RequestAnswer

    @property
    def block(self) -> str:
        """Return the block that the monitor counts it in: the session, or else the speaker; empty without both."""
        return self.session or self.speaker

    @property
    def confidence(self) -> float | None:
        """Return the confidence of the answer, 0 to 1; None for a task without one."""
        return self.measurements.get("confidence")

    @property
    def without_speech(self) -> bool:
        """Return whether no speech was found in the recording: it has no features, no confidence and no answer."""
        return not self.features

    @property
    def features_array(self) -> Features:
        """Return the features as float32 [C]."""
        return np.asarray(self.features, dtype=np.float32)


_TEXTS = ("id", "at", "bundle", "fingerprint", "route", "session", "speaker", "client", "clip")


def served_json(record: ServedRequest) -> str:
    """Return a record without its features as JSON."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name != "features"}
    values |= {"slot": str(record.slot), "answer": dict(vars(record.answer))}
    values["measurements"] = dict(record.measurements)
    return json.dumps(values, ensure_ascii=False, sort_keys=True, allow_nan=False)


def features_bytes(features: tuple[float, ...]) -> bytes:
    """Return features as little-endian float32."""
    return np.asarray(features, dtype="<f4").tobytes()


def read_served(text: str, features: bytes) -> ServedRequest:
    """Return a record as it was stored; raises WorkspaceError if it is none."""
    try:
        return parse_served(text, features)
    except ValueError as error:
        raise WorkspaceError(
            f"a record of the request log is damaged ({error}); delete the log: elp requests clear SLOT"
        ) from error


def parse_served(text: str, features: bytes) -> ServedRequest:
    """Return the record that `served_json` and `features_bytes` wrote; raises ValueError if it is none."""
    try:
        values: dict[str, Any] = json.loads(text)
        measurements = {str(name): float(value) for name, value in values.pop("measurements").items()}
        if not all(math.isfinite(value) for value in measurements.values()):
            raise ValueError("a measurement is not finite")
        slot, answer = Slot.parse(values.pop("slot")), RequestAnswer(**values.pop("answer"))
        if not all(isinstance(values[name], str) for name in _TEXTS):
            raise TypeError("a text is none")
        values |= {"version": int(values["version"]), "seconds": float(values["seconds"])}
        means = tuple(np.frombuffer(features, "<f4").tolist())
        return ServedRequest(slot=slot, answer=answer, measurements=measurements, features=means, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(shape_fault(error)) from error
