"""Recordings without sound: silence is no voice, and one is accepted as another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from elp_core.errors import AudioError
from elp_core.types import Seconds

if TYPE_CHECKING:
    from elp_core.audio import Waveform


def require_sound(waveforms: Sequence[Waveform], names: Sequence[str]) -> None:
    """Raise AudioError for a waveform (mono 16 kHz, [samples]) that is silent; `names` are for people."""
    for name, waveform in zip(names, waveforms, strict=True):
        if not sounding(waveform):
            raise AudioError("silent", f"{name} has no sound, so no voice can be compared; record it again")


def sounding(waveform: Waveform) -> Seconds:
    """Return the seconds of a waveform that are not silent."""
    from elp_core.audio import measure

    measured = measure(waveform)
    return measured.duration * (1.0 - measured.silence)
