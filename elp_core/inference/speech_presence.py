"""Whether a short recording holds speech at all: a recogniser has to write something, and writes letters for silence.

Long recordings are cut into runs of speech first (`voice_activity`). A recording of one window is decoded as a whole,
so that its text is that of the gate; here it is only asked whether there is anything to decode. A wrong "no" loses a
command, a wrong "yes" is a letter too many: so only what is certain counts as empty.
"""

from __future__ import annotations

import importlib.util

import numpy as np

from elp_core.audio import Waveform
from elp_core.inference.voice_activity import CHUNK, SpeechDetector
from elp_core.types import SAMPLE_RATE, Seconds

LEAST_PEAK = 10 ** (-66 / 20)
"""A recording whose samples are all below -66 dB of full scale is digital silence, or its noise."""
LEAST_SECONDS: Seconds = 0.1
"""A shorter recording holds no word."""
LEAST_PROBABILITY = 0.3
"""Of speech in some chunk of 32 ms; runs of speech in long recordings begin at 0.5.

Of 150 spoken digits each, the lowest maximum was 0.95, 0.65 in white noise of 10 dB, and 0.25 (1 % below 0.31) of 0 dB;
the highest of white and pink noise alone was 0.23. A loud hum with overtones sounds like a voice to the network.
"""
_PEAK = 0.3
"""To which a recording is scaled before the network is asked: it takes quiet words for silence."""
_SURROUNDINGS = 8 * CHUNK
"""Silence before and after, 0.26 s: the network decides by what is around a chunk, and a short clip has nothing."""


def holds_speech(samples: Waveform, detect: bool = True) -> bool:
    """Return whether float32 [samples] at 16 kHz may hold speech.

    With `detect`, the network of silero-vad is asked if it is installed; else the length and the level decide.
    """
    peak = max(float(samples.max()), -float(samples.min())) if len(samples) else 0.0
    if peak < LEAST_PEAK:
        return False
    if not detect:
        return True
    if len(samples) < LEAST_SECONDS * SAMPLE_RATE:
        return False
    if importlib.util.find_spec("silero_vad") is None:
        return True
    padded = np.pad(samples * np.float32(_PEAK / peak), (_SURROUNDINGS, _SURROUNDINGS + -len(samples) % CHUNK))
    # samples that are no numbers have no probability: they are for the recogniser to refuse
    return not SpeechDetector().probabilities(padded).max() < LEAST_PROBABILITY
